package mux

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"math/big"
	"net"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds every wait for an event that has to come.
const patience = 10 * time.Second

// testTLS is one throw-away certificate that both sides present and trust.
var testTLS = sync.OnceValue(func() *tls.Config {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		panic(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	return &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}},
		RootCAs:      pool, ClientCAs: pool, ServerName: "test",
		ClientAuth: tls.RequireAndVerifyClientCert, MinVersion: tls.VersionTLS13,
		SessionTicketsDisabled: true,
	}
})

// tcpPair is one connection over loopback.
func tcpPair(t testing.TB) (dialled, accepted net.Conn) {
	t.Helper()
	lc := net.ListenConfig{}
	lc.SetMultipathTCP(false)
	l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	got := make(chan net.Conn, 1)
	go func() {
		c, err := l.Accept()
		if err != nil {
			close(got)
			return
		}
		got <- c
	}()
	dialled, err = net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	accepted, ok := <-got
	if !ok {
		t.Fatal("accept failed")
	}
	return dialled, accepted
}

// sessionPair is a client's and a provider's session, closed with the test.
func sessionPair(t testing.TB, o Options) (client, provider *Session) {
	t.Helper()
	a, b := tcpPair(t)
	return sessionsOver(t, a, b, o)
}

func sessionsOver(t testing.TB, a, b net.Conn, o Options) (client, provider *Session) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	type result struct {
		s   *Session
		err error
	}
	served := make(chan result, 1)
	go func() {
		s, err := Server(ctx, b, testTLS(), o)
		served <- result{s, err}
	}()
	client, err := Client(ctx, a, testTLS(), o)
	if err != nil {
		t.Fatal("client:", err)
	}
	if err := client.Control().Send(Message{Kind: KindHello}); err != nil {
		t.Fatal("hello:", err)
	}
	r := <-served
	if r.err != nil {
		t.Fatal("provider:", r.err)
	}
	t.Cleanup(func() {
		if err := errors.Join(client.Close(), r.s.Close()); err != nil {
			t.Error("closing:", err)
		}
	})
	return client, r.s
}

// streamPair is one connected stream.
func streamPair(t testing.TB, client, provider *Session) (c, p *Stream) {
	t.Helper()
	c, err := client.Open(Open{Link: "redis", Port: 6379, Consumer: "127.0.0.1:1"}, nil)
	if err != nil {
		t.Fatal("open:", err)
	}
	p, err = provider.Accept()
	if err != nil {
		t.Fatal("accept:", err)
	}
	if _, err := p.ReadOpen(patience); err != nil {
		t.Fatal("open header:", err)
	}
	p.Connected()
	return c, p
}

// within fails the test if f takes longer than an event may take.
func within(t testing.TB, d time.Duration, what string, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	select {
	case <-done:
	case <-time.After(d):
		t.Fatalf("%s: not within %v", what, d)
	}
}

// eventually polls a condition that has no event to wait for.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	timeout := time.After(patience)
	for !ok() {
		select {
		case <-tick.C:
		case <-timeout:
			t.Fatal("never: ", what)
		}
	}
}
