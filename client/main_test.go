package client

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
	mathrand "math/rand/v2"
	"net"
	"strconv"
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

// testTLS is one throw-away certificate that both sides present and trust.
var testTLS = sync.OnceValue(func() *tls.Config {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
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
		ClientAuth: tls.RequireAndVerifyClientCert, MinVersion: tls.VersionTLS13, SessionTicketsDisabled: true,
	}
})

// provider is a provider as far as a client sees one: it welcomes with what it
// is told to grant, and echoes on every stream.
type provider struct {
	address  string
	sessions chan *mux.Session // those that were welcomed
}

func provide(t testing.TB, welcome mux.Message) *provider {
	t.Helper()
	l, err := listenTCP("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &provider{address: l.Addr().String(), sessions: make(chan *mux.Session, 100)}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			running.Go(func() {
				s, err := mux.Server(ctx, conn, testTLS(), mux.Options{})
				if err != nil {
					return
				}
				defer s.Close()
				defer context.AfterFunc(ctx, func() { s.Close() })()
				if _, err := s.Control().Receive(); err != nil {
					return
				}
				if s.Control().Send(welcome) == nil {
					p.sessions <- s
				}
				for {
					st, err := s.Accept()
					if err != nil {
						return
					}
					running.Go(func() { echoStream(st) })
				}
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		cancel()
		running.Wait()
	})
	return p
}

func echoStream(st *mux.Stream) {
	defer st.Close()
	if _, err := st.ReadOpen(patience); err != nil {
		return
	}
	st.Connected()
	if _, err := io.Copy(st, st); err == nil {
		st.CloseWrite()
	}
}

// session is the next one that was welcomed.
func (p *provider) session(t testing.TB) *mux.Session {
	t.Helper()
	select {
	case s := <-p.sessions:
		return s
	case <-time.After(patience):
		t.Fatal("no session came")
		return nil
	}
}

// run starts a client, which the test's end closes.
func run(t testing.TB, c *Client) (ended chan error) {
	t.Helper()
	c.TLSConfig = testTLS()
	ended = make(chan error, 1)
	go func() { ended <- c.ListenAndServe() }()
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error("closing the client:", err)
		}
	})
	return ended
}

// bound waits until the client's ports are open.
func bound(t testing.TB, c *Client) {
	t.Helper()
	select {
	case <-c.Bound():
	case <-time.After(patience):
		t.Fatal("the ports were not opened")
	}
}

// echo is a backend that sends back what it gets.
func echo(t testing.TB) link.Target {
	t.Helper()
	l, err := listenTCP("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			running.Go(func() {
				defer c.Close()
				io.Copy(c, c)
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		running.Wait()
	})
	return link.Target{Host: "127.0.0.1", Port: portOf(t, l.Addr())}
}

// consumer is a connection to a local port, closed with the test.
func consumer(t testing.TB, address string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return c
}

// echoes checks that what is sent comes back.
func echoes(t testing.TB, c net.Conn) {
	t.Helper()
	if err := tryEcho(c); err != nil {
		t.Fatal(err)
	}
}

func tryEcho(c net.Conn) error {
	const word = "word"
	if _, err := io.WriteString(c, word); err != nil {
		return err
	}
	got := make([]byte, len(word))
	if _, err := io.ReadFull(c, got); err != nil {
		return err
	}
	if string(got) != word {
		return errors.New("sent " + word + " and got " + string(got))
	}
	return nil
}

func portOf(t testing.TB, a net.Addr) uint16 {
	t.Helper()
	at, ok := a.(*net.TCPAddr)
	if !ok {
		t.Fatalf("%v is no TCP address", a)
	}
	return uint16(at.Port)
}

// givenPorts are those that freePort has given, by number.
var givenPorts sync.Map

// freePort is one that nobody listens on at the moment, and never the same
// twice. It is below 32768, where Linux begins to take the local ports of
// outgoing connections (ip_local_port_range, ip(7)): another process does not
// get it by chance before it is used.
func freePort(t testing.TB) uint16 {
	t.Helper()
	for range 1000 {
		port := uint16(20000 + mathrand.IntN(12000))
		if _, given := givenPorts.LoadOrStore(port, true); given {
			continue
		}
		if l, err := listenTCP("tcp", "127.0.0.1:"+portText(port)); err == nil {
			l.Close()
			return port
		}
	}
	t.Fatal("no free port")
	return 0
}

func portText(port uint16) string { return strconv.Itoa(int(port)) }

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
