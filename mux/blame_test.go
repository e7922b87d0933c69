package mux

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"testing"
	"time"
)

func TestFailedHandshakeSaysWhoseJudgementItWas(t *testing.T) {
	stranger := testTLS().Clone()
	stranger.Certificates, stranger.NextProtos = nil, []string{Protocol}
	distrusting := testTLS().Clone()
	distrusting.RootCAs, distrusting.NextProtos = nil, []string{Protocol}
	old := testTLS().Clone()
	old.MinVersion, old.MaxVersion, old.NextProtos = tls.VersionTLS12, tls.VersionTLS12, []string{Protocol}
	handshake := func(c *tls.Config) func(net.Conn) {
		return func(conn net.Conn) {
			tc := tls.Client(conn, c)
			if tc.Handshake() == nil {
				tc.Read(make([]byte, 1)) // the provider's judgement
			}
		}
	}
	for name, row := range map[string]struct {
		peer        func(net.Conn)
		kind, other error
	}{
		"no certificate":        {handshake(stranger), ErrCertificate, ErrUntrusted},
		"does not trust ours":   {handshake(distrusting), ErrUntrusted, ErrCertificate},
		"an older TLS":          {handshake(old), ErrAuthentication, ErrCertificate},
		"another protocol":      {func(c net.Conn) { c.Write([]byte("GET / HTTP/1.1\r\n\r\n")); c.Read(make([]byte, 1)) }, ErrAuthentication, ErrCertificate},
		"leaves at once":        {func(net.Conn) {}, ErrAuthentication, ErrCertificate},
		"says nothing for long": {func(c net.Conn) { c.Read(make([]byte, 1)) }, context.DeadlineExceeded, ErrCertificate},
	} {
		t.Run(name, func(t *testing.T) {
			a, b := tcpPair(t)
			done := make(chan struct{})
			go func() {
				defer close(done)
				row.peer(a)
				a.Close()
			}()
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			_, err := Server(ctx, b, testTLS(), Options{})
			if !errors.Is(err, row.kind) || errors.Is(err, row.other) || !errors.Is(err, ErrAuthentication) {
				t.Errorf("%v; want it to be %q and not %q", err, row.kind, row.other)
			}
			<-done
		})
	}
}

func TestEndWithoutAGoodbyeIsNoGoodEnd(t *testing.T) {
	for name, end := range map[string]func(client *Session, conn net.Conn){
		"goodbye":    func(client *Session, _ net.Conn) { client.Close() },
		"no goodbye": func(_ *Session, conn net.Conn) { conn.(*net.TCPConn).CloseWrite() },
	} {
		t.Run(name, func(t *testing.T) {
			a, b := tcpPair(t)
			client, provider := sessionsOver(t, a, b, Options{})
			end(client, a)
			within(t, patience, "the provider's session ends", func() { <-provider.Done() })
			if got := errors.Is(provider.Err(), ErrEnded); got != (name == "goodbye") || !errors.Is(provider.Err(), ErrSessionLost) {
				t.Errorf("%v: ErrEnded is %v", provider.Err(), got)
			}
		})
	}
}
