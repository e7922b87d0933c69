package client

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"os"
	"time"

	"ambassador/internal/live"
	"ambassador/mux"
)

// Protocol is the ALPN name by which a provider says that it is one.
const Protocol = mux.Protocol

// Visit is a session that carries no consumer: it is made to look at the provider,
// and left again. A client's other sessions are not touched by it. The provider is
// told so, keeps no events of it, and ends it after half a minute.
type Visit struct {
	session *mux.Session
	// Version is the provider's program.
	Version string
	// Links are what the provider grants.
	Links []mux.Offer
	// Time is the provider's clock when it sent its welcome, the zero time if it
	// did not say. By our own that was between Asked and Heard.
	Time, Asked, Heard time.Time
}

// Call makes a visit on a dialled connection, which it closes if it fails. ctx
// bounds the call. An error is of TLS, or a [*DeniedError].
func Call(ctx context.Context, conn net.Conn, config *tls.Config, version string) (*Visit, error) {
	s, err := mux.Client(ctx, conn, config, mux.Options{})
	if err != nil {
		return nil, err
	}
	asked := time.Now()
	m, err := greet(ctx, s, mux.Message{Version: version, Visit: true})
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return &Visit{session: s, Version: m.Version, Links: m.Links, Time: m.Time, Asked: asked, Heard: time.Now()}, nil
}

// Close ends the visit.
func (v *Visit) Close() error { return v.session.Close() }

// RoundTrip asks the provider for a sign of life and says how long it took. ctx
// bounds the wait.
func (v *Visit) RoundTrip(ctx context.Context) (time.Duration, error) {
	began := time.Now()
	if err := v.session.Probe(ctx); err != nil {
		return 0, err
	}
	return time.Since(began), nil
}

// Reached is how far a connection to a link's backend came.
type Reached struct {
	Why    live.Reason   // why not; Running if the backend took it
	Reason string        // the provider's words to that; may be empty
	Took   time.Duration // until the backend's first sign
	Silent bool          // it took the connection, and gave no sign until ctx was done
}

// Reach has the provider connect a link's backend, ends without a word, and waits
// for what comes back. hold is how long the provider may try, and ctx must leave it
// more than that: a provider that fails says so by then, while the word about a
// backend that was connected comes with the backend's own first bytes or end. The
// error is the session's.
func (v *Visit) Reach(ctx context.Context, link string, port uint16, hold time.Duration) (Reached, error) {
	began := time.Now()
	st, err := v.session.Open(mux.Open{Link: link, Port: port, Hold: hold, Consumer: "ambassador doctor"}, nil)
	if err != nil {
		return Reached{}, err
	}
	defer st.Close()
	defer context.AfterFunc(ctx, func() { _ = st.SetReadDeadline(time.Now()) })() // it never fails
	if err := st.CloseWrite(); errors.Is(err, mux.ErrSessionLost) {
		return Reached{}, err
	}
	_, err = st.Read(make([]byte, 1))
	took := time.Since(began)
	var refused *mux.RefusedError
	switch {
	case errors.As(err, &refused):
		return Reached{Why: refusalReason(refused.Refusal), Reason: refused.Reason, Took: took}, nil
	case errors.Is(err, mux.ErrSessionLost):
		return Reached{}, err
	case errors.Is(err, os.ErrDeadlineExceeded):
		return Reached{Silent: true, Took: took}, nil
	case errors.Is(err, mux.ErrReset):
		return Reached{Why: live.BackendReset, Took: took}, nil
	}
	return Reached{Took: took}, nil
}

// Knock does a TLS handshake as a stranger and says nothing: it tells whether there
// is a provider behind a connection where a client has no certificate yet. The
// provider's certificate is not verified. The connection is closed.
func Knock(ctx context.Context, conn net.Conn) (tls.ConnectionState, error) {
	defer conn.Close()
	// Nothing is told to the other side, nor believed of it.
	c := tls.Client(conn, &tls.Config{MinVersion: tls.VersionTLS13, InsecureSkipVerify: true, NextProtos: []string{Protocol}})
	err := c.HandshakeContext(ctx)
	return c.ConnectionState(), err
}
