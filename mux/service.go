package mux

import (
	"context"
	"crypto/tls"
	"errors"
	"slices"
)

// Service is another protocol than sessions that a provider speaks on the same
// port. A client asks for it by ALPN (RFC 7301), and offers no sessions then.
type Service struct {
	// TLSConfig is for this protocol's handshakes alone. It must be set.
	TLSConfig *tls.Config
	// Serve speaks the protocol on a connection whose handshake is done. The
	// connection is closed when it returns, or when ctx ends. It must be set.
	Serve func(ctx context.Context, conn *tls.Conn) error
}

// ErrService: the connection was for one of Options.Services and is over. What
// its Serve returned is wrapped.
var ErrService = errors.New("mux: not a session")

// byProtocol is a provider's config that agrees to sessions with config, and to
// each of the services with its own. The protocol decides which rules hold for
// the client's certificate, so that each handshake agrees to one alone.
func byProtocol(config *tls.Config, services map[string]Service) *tls.Config {
	outer := config.Clone()
	outer.NextProtos = []string{Protocol}
	outer.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		if !slices.Contains(hello.SupportedProtos, Protocol) {
			for name, s := range services {
				if slices.Contains(hello.SupportedProtos, name) {
					return forProtocol(name, s.TLSConfig, hello)
				}
			}
		}
		return forProtocol(Protocol, config, hello)
	}
	return outer
}

// forProtocol is a config for one handshake.
func forProtocol(name string, config *tls.Config, hello *tls.ClientHelloInfo) (*tls.Config, error) {
	if config.GetConfigForClient != nil {
		inner, err := config.GetConfigForClient(hello)
		if err != nil {
			return nil, err
		}
		if inner != nil {
			config = inner
		}
	}
	config = config.Clone()
	config.NextProtos = []string{name}
	config.DynamicRecordSizingDisabled = true // see secure
	return config, nil
}

// serve speaks a service's protocol to its end.
func (s Service) serve(ctx context.Context, conn *tls.Conn) error {
	defer context.AfterFunc(ctx, func() { conn.NetConn().Close() })()
	err := s.Serve(ctx, conn)
	// The goodbye keeps what was written from being lost to a reset.
	return errors.Join(ErrService, err, conn.CloseWrite())
}
