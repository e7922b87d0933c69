package certs

import (
	"crypto/tls"
	"errors"
	"testing"
	"time"
)

func TestHandshakeOfThePair(t *testing.T) {
	ca := newCA(t, InitOptions{})
	s := shake(t, clientConfig(t, clientOf(t, ca, "web", "redis"), "any.name"), serverConfig(t, provider(t, ca)))
	if err := errors.Join(s.client, s.provider); err != nil {
		t.Fatal(err)
	}
	if s.clientTLS.Version != tls.VersionTLS13 {
		t.Errorf("version %x", s.clientTLS.Version)
	}
	for _, side := range []struct {
		of   tls.ConnectionState
		want string
	}{
		{s.providerTLS, "spiffe://ambassador/client/web"},
		{s.clientTLS, "spiffe://ambassador/provider/big-server"},
	} {
		if id, err := PeerIdentity(side.of); id != side.want || err != nil {
			t.Errorf("peer is %q, %v, want %q", id, err, side.want)
		}
	}
}

func TestNoOlderTLS(t *testing.T) {
	ca := newCA(t, InitOptions{})
	clientFiles, providerFiles := clientOf(t, ca, "web"), provider(t, ca)
	old := clientConfig(t, clientFiles, "x")
	old.MinVersion, old.MaxVersion = tls.VersionTLS12, tls.VersionTLS12
	if s := shake(t, old, serverConfig(t, providerFiles)); s.client == nil || s.provider == nil {
		t.Error("the provider speaks TLS 1.2")
	}
	old = serverConfig(t, providerFiles)
	old.MinVersion, old.MaxVersion = tls.VersionTLS12, tls.VersionTLS12
	if s := shake(t, clientConfig(t, clientFiles, "x"), old); s.client == nil || s.provider == nil {
		t.Error("the client speaks TLS 1.2")
	}
}

// ticketCache counts the session tickets that a client is given.
type ticketCache struct{ puts int }

func (c *ticketCache) Get(string) (*tls.ClientSessionState, bool) { return nil, false }
func (c *ticketCache) Put(string, *tls.ClientSessionState)        { c.puts++ }

func TestNoSessionTickets(t *testing.T) {
	ca := newCA(t, InitOptions{})
	config := clientConfig(t, clientOf(t, ca, "web"), "x")
	cache := &ticketCache{}
	config.ClientSessionCache = cache
	config.SessionTicketsDisabled = false // a client that would take one
	s := shake(t, config, serverConfig(t, provider(t, ca)))
	if s.client != nil || cache.puts != 0 {
		t.Errorf("error %v, %d tickets", s.client, cache.puts)
	}
	if !clientConfig(t, clientOf(t, ca, "db"), "x").SessionTicketsDisabled {
		t.Error("the client takes tickets")
	}
}

func TestConfigsSetNoALPN(t *testing.T) {
	ca := newCA(t, InitOptions{})
	c, p := clientConfig(t, clientOf(t, ca, "web"), "x"), serverConfig(t, provider(t, ca))
	if c.NextProtos != nil || p.NextProtos != nil {
		t.Error("the carrier's protocol would be lost")
	}
}

// A certificate that runs out after the config was made is told by its file.
func TestOwnCertificateRunsOutLater(t *testing.T) {
	ca := newCA(t, InitOptions{})
	f := clientOf(t, ca, "web")
	c, err := Load(f, RoleClient)
	if err != nil {
		t.Fatal(err)
	}
	m := *c.current.Load()
	leaf := *m.leaf.Leaf
	leaf.NotAfter = time.Now().Add(-time.Second)
	m.leaf.Leaf = &leaf
	c.current.Store(&m)
	s := shake(t, c.ClientConfig("x"), serverConfig(t, provider(t, ca)))
	wantIs(t, s.client, ErrExpired)
	if got, want := Explain(s.client), f.Cert+" has expired on "; len(got) < len(want) || got[:len(want)] != want {
		t.Errorf("explained as %q", got)
	}
}
