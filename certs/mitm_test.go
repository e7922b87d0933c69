package certs

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"
)

// capture keeps all that a client sends, under TLS and in the clear.
type capture struct {
	mu   sync.Mutex
	sent bytes.Buffer // on the wire
	read bytes.Buffer // what a man in the middle could decrypt
}

func (c *capture) conn(conn net.Conn) net.Conn { return &capturedConn{conn, c} }

type capturedConn struct {
	net.Conn
	to *capture
}

func (c *capturedConn) Write(p []byte) (int, error) {
	c.to.mu.Lock()
	c.to.sent.Write(p)
	c.to.mu.Unlock()
	return c.Conn.Write(p)
}

// manInTheMiddle stands where the provider should be. It takes whatever client
// comes, and keeps all that is said to it.
func manInTheMiddle(t *testing.T, config *tls.Config, c *capture) (address string) {
	config = config.Clone()
	config.ClientAuth = tls.NoClientCert
	config.GetConfigForClient, config.VerifyConnection = nil, nil
	if config.NextProtos == nil {
		config.NextProtos = []string{EnrolProtocol}
	}
	return listenTLS(t, config, func(conn *tls.Conn) {
		buf := make([]byte, 4096)
		for {
			n, err := conn.Read(buf)
			c.mu.Lock()
			c.read.Write(buf[:n])
			c.mu.Unlock()
			if err != nil {
				return
			}
		}
	})
}

// presenting is a config with one chain and nothing checked.
func presenting(t *testing.T, l *leaf, more ...*x509.Certificate) *tls.Config {
	t.Helper()
	cert := l.tls()
	cert.Certificate = append(cert.Certificate, rawOf(more)...)
	return &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}
}

func readAll(t *testing.T, f Files) *leaf {
	t.Helper()
	l, err := readLeaf(f)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// Whoever answers in the provider's place, if it is not the provider, learns
// nothing: neither the secret nor the id nor the request gets out.
func TestManInTheMiddleNeverReceivesTheSecret(t *testing.T) {
	ca, other := newCA(t, InitOptions{}), newCA(t, InitOptions{})
	root := ca.roots[0]
	mallory := readAll(t, clientOf(t, ca, "mallory"))
	for _, tc := range []struct {
		name   string
		config func() *tls.Config
	}{
		{"another CA", func() *tls.Config {
			l := readAll(t, provider(t, other))
			return presenting(t, l, other.roots...)
		}},
		{"the pinned root behind a foreign leaf", func() *tls.Config {
			l := readAll(t, provider(t, other))
			return presenting(t, l, root)
		}},
		{"the pinned root and issuer behind a foreign leaf", func() *tls.Config {
			l := readAll(t, provider(t, other))
			return presenting(t, l, append(slices.Clone(ca.issuers), root)...)
		}},
		{"a client of the CA as a server", func() *tls.Config { return presenting(t, mallory, root) }},
		{"a client's name with a provider's usage", func() *tls.Config {
			return presenting(t, readAll(t, leafLike(t, ca, "spiffe://ambassador/client/x", x509.ExtKeyUsageServerAuth)), root)
		}},
		{"a provider's name with a client's usage", func() *tls.Config {
			return presenting(t, readAll(t, leafLike(t, ca, "spiffe://ambassador/provider/x", x509.ExtKeyUsageClientAuth)), root)
		}},
		{"another trust domain", func() *tls.Config {
			return presenting(t, readAll(t, leafLike(t, ca, "spiffe://sub.ambassador/provider/x", x509.ExtKeyUsageServerAuth)), root)
		}},
		{"an expired provider", func() *tls.Config {
			return presenting(t, readAll(t, providerAt(t, ca, time.Now().Add(-leafLife-time.Hour))), root)
		}},
		{"no root", func() *tls.Config { return presenting(t, readAll(t, provider(t, ca))) }},
		{"the provider without ALPN", func() *tls.Config {
			c := presenting(t, readAll(t, provider(t, ca)), root)
			c.NextProtos = []string{}
			return c
		}},
		{"the provider with the sessions' ALPN", func() *tls.Config {
			c := presenting(t, readAll(t, provider(t, ca)), root)
			c.NextProtos = []string{"ambassador/1"}
			return c
		}},
		{"the provider with TLS 1.2", func() *tls.Config {
			c := presenting(t, readAll(t, provider(t, ca)), root)
			c.MaxVersion = tls.VersionTLS12
			return c
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			token := invited(t, ca, "web", InviteOptions{})
			c := &capture{}
			address := manInTheMiddle(t, tc.config(), c)
			dir := filepath.Join(t.TempDir(), "client")
			_, err := Join(t.Context(), func(ctx context.Context) (net.Conn, error) {
				conn, err := dialTo(address)(ctx)
				return c.conn(conn), err
			}, token, dir)
			if err == nil {
				t.Fatal("joined")
			}
			c.mu.Lock()
			defer c.mu.Unlock()
			if c.read.Len() > 0 {
				t.Errorf("it could read %q", c.read.Bytes())
			}
			request, err := os.ReadFile(StateFiles(dir).nextKey())
			if err != nil || len(request) == 0 {
				t.Error("no key was made: nothing was tested")
			}
			for what, secret := range map[string][]byte{
				"secret": token.secret[:], "secret in JSON": []byte(base64.StdEncoding.EncodeToString(token.secret[:])), "id": []byte(token.ID),
			} {
				if bytes.Contains(c.sent.Bytes(), secret) {
					t.Errorf("the %s was sent in the clear", what)
				}
			}
			// A hello and at most an alert: what was sent has no room for a request.
			if records := tlsRecords(c.sent.Bytes()); len(records) == 0 || slices.Contains(records[1:], 22) && tc.name != "the provider with TLS 1.2" {
				t.Errorf("records sent: %v", records)
			}
			if all, err := ca.Invitations(); err != nil || slices.ContainsFunc(all, func(i Invitation) bool { return i.ID == token.ID && i.Used > 0 }) {
				t.Errorf("the token was used: %v", err)
			}
		})
	}
	// The capture sees a secret where there is one.
	t.Run("control", func(t *testing.T) {
		token := invited(t, ca, "web", InviteOptions{})
		c := &capture{}
		address := manInTheMiddle(t, presenting(t, readAll(t, provider(t, ca)), root), c)
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		_, err := Join(ctx, dialTo(address), token, filepath.Join(t.TempDir(), "client"))
		if err == nil {
			t.Fatal("joined")
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		if !bytes.Contains(c.read.Bytes(), []byte(base64.StdEncoding.EncodeToString(token.secret[:]))) {
			t.Errorf("the provider itself could read %q only", c.read.Bytes())
		}
	})
}

// tlsRecords are the types of the records in a capture (RFC 8446 §5.1).
func tlsRecords(b []byte) (types []byte) {
	for len(b) >= 5 {
		types = append(types, b[0])
		b = b[min(len(b), 5+int(b[3])<<8+int(b[4])):]
	}
	return types
}
