package server

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math/big"
	"net"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"ambassador/internal/link"
	"ambassador/mux"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds every wait for an event that has to come.
const patience = 10 * time.Second

// authority is a throw-away CA; it signs clients and the provider.
type authority struct {
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
	pool *x509.CertPool
}

var testCA = sync.OnceValue(func() *authority {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		panic(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	a := &authority{key: key, cert: cert, pool: x509.NewCertPool()}
	a.pool.AddCert(cert)
	return a
})

// config is a TLS configuration for either side, with the identity
// spiffe://test/NAME.
func (a *authority) config(t testing.TB, name string) *tls.Config {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		DNSNames: []string{"provider"}, URIs: []*url.URL{{Scheme: "spiffe", Host: "test", Path: "/" + name}},
		KeyUsage: x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}},
		RootCAs:      a.pool, ClientCAs: a.pool, ServerName: "provider",
		ClientAuth: tls.RequireAndVerifyClientCert, MinVersion: tls.VersionTLS13, SessionTicketsDisabled: true,
	}
}

// grants authorizes by the path of the identity.
func grants(links map[string][]string) func(tls.ConnectionState) (Peer, error) {
	return func(cs tls.ConnectionState) (Peer, error) {
		id := cs.PeerCertificates[0].URIs[0]
		granted, ok := links[strings.TrimPrefix(id.Path, "/")]
		if !ok {
			return Peer{}, errors.New(id.String() + " has no grant")
		}
		return Peer{Identity: id.String(), Links: granted}, nil
	}
}

// serving is a server that runs until the test ends.
type serving struct {
	*Server
	address string
	ended   chan error // what Serve returned
}

// serve starts s on a loopback port. What s lacks is filled in: every client may
// use everything.
func serve(t testing.TB, s *Server) *serving {
	t.Helper()
	s.TLSConfig = testCA().config(t, "provider/p")
	if s.Authorize == nil {
		s.Authorize = func(tls.ConnectionState) (Peer, error) { return Peer{Identity: "anybody", Links: []string{"*"}}, nil }
	}
	run := &serving{Server: s, ended: make(chan error, 1)}
	l := listen(t)
	run.address = l.Addr().String()
	go func() { run.ended <- s.Serve(l) }()
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error("closing the server:", err)
		}
		run.mustEnd(t)
	})
	return run
}

// mustEnd waits until Serve has returned ErrClosed.
func (s *serving) mustEnd(t testing.TB) {
	t.Helper()
	within(t, "Serve returns", func() {
		err := <-s.ended
		if !errors.Is(err, ErrClosed) {
			t.Errorf("Serve: %v, want ErrClosed", err)
		}
		s.ended <- err
	})
}

func listen(t testing.TB) net.Listener {
	t.Helper()
	lc := net.ListenConfig{}
	lc.SetMultipathTCP(false)
	l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// connect makes a client's session and says hello. It returns the answer.
func (s *serving) connect(t testing.TB, name string) (*mux.Session, mux.Message) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	m, err := mux.Client(ctx, s.dial(t), testCA().config(t, name), mux.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	if err := m.Control().Send(mux.Message{Kind: mux.KindHello}); err != nil {
		t.Fatal(err)
	}
	answer, err := m.Control().Receive()
	if err != nil {
		t.Fatal(err)
	}
	return m, answer
}

// dial makes a bare connection, closed with the test.
func (s *serving) dial(t testing.TB) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", s.address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(2 * patience)); err != nil {
		t.Fatal(err)
	}
	return c
}

// echo is a link to a backend that sends back what it gets.
func echo(t testing.TB, name string, number uint16) link.Link {
	t.Helper()
	l := listen(t)
	var running sync.WaitGroup
	running.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			running.Go(func() {
				defer c.Close()
				if _, err := io.Copy(c, c); err == nil {
					c.(*net.TCPConn).CloseWrite()
				}
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		running.Wait()
	})
	return linkTo(name, number, l.Addr())
}

func linkTo(name string, number uint16, a net.Addr) link.Link {
	at := a.(*net.TCPAddr)
	return link.Link{Name: name, Ports: []link.Port{{Number: number, Target: link.Target{Host: at.IP.String(), Port: uint16(at.Port)}}}}
}

// open opens a stream on a link's port.
func open(t testing.TB, m *mux.Session, name string, port uint16) *mux.Stream {
	t.Helper()
	st, err := m.Open(mux.Open{Link: name, Port: port, Hold: 500 * time.Millisecond, Consumer: "test"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return st
}

// echoes checks that what is sent comes back.
func echoes(t testing.TB, st *mux.Stream) {
	t.Helper()
	const word = "word"
	if _, err := io.WriteString(st, word); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len(word))
	if _, err := io.ReadFull(st, got); err != nil || string(got) != word {
		t.Fatalf("%q, %v; want %q back", got, err, word)
	}
}

// refusal reads a stream's refusal.
func refusal(t testing.TB, st *mux.Stream) mux.RefusedError {
	t.Helper()
	_, err := st.Read(make([]byte, 1))
	var refused *mux.RefusedError
	if !errors.As(err, &refused) {
		t.Fatalf("%v, want a refusal", err)
	}
	st.Reset("refused")
	return *refused
}

// within fails the test if f takes longer than an event may take.
func within(t testing.TB, what string, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	select {
	case <-done:
	case <-time.After(patience):
		t.Fatalf("%s: not within %v", what, patience)
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
