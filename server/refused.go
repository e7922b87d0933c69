package server

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"

	"ambassador/internal/live"
	"ambassador/mux"
)

// errCrowded: the connection had to give way before it was authenticated.
var errCrowded = errors.New("too many connections are unauthenticated at a time, and most of them come from there")

// becauseOf puts the cause before what it made of a handshake.
func becauseOf(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return errors.Join(cause, err)
	}
	return err
}

// countRefused counts a connection that became no session, by what was wrong.
func (s *Server) countRefused(err error) {
	if s.ctx.Err() != nil || errors.Is(err, mux.ErrService) {
		return // our own end, or a protocol that keeps its own books
	}
	s.Table.HandshakeRefused(refusedWord(err))
}

func refusedWord(err error) string {
	var refused *refusedError
	var network net.Error
	switch {
	case errors.As(err, &refused):
		return live.RefusedDenied
	case errors.Is(err, errCrowded):
		return live.RefusedBusy
	case errors.Is(err, context.DeadlineExceeded):
		return live.RefusedTimeout
	case errors.Is(err, mux.ErrUntrusted):
		return live.RefusedUntrusted
	case errors.Is(err, mux.ErrCertificate):
		return live.RefusedCertificate
	case errors.Is(err, mux.ErrNoALPN), errors.Is(err, mux.ErrProtocol):
		return live.RefusedProtocol
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed), errors.As(err, &network), errors.Is(err, mux.ErrSessionLost):
		return live.RefusedGone
	case errors.Is(err, mux.ErrAuthentication):
		return live.RefusedTLS
	}
	return live.RefusedFailed
}

// nameOf is what an authenticated client calls itself, for those who have to find
// out why it is refused: its certificate's URI, or else its first DNS name.
func nameOf(cs tls.ConnectionState) string {
	if len(cs.PeerCertificates) == 0 {
		return ""
	}
	c := cs.PeerCertificates[0]
	switch {
	case len(c.URIs) > 0:
		return c.URIs[0].String()
	case len(c.DNSNames) > 0:
		return c.DNSNames[0]
	}
	return ""
}
