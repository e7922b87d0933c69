package certs

import (
	"crypto/tls"
	"errors"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if !crashChild() {
		goleak.VerifyTestMain(m)
	}
}

// cheap keeps tests of sealed keys quick: the least that Argon2id takes.
var cheap = sealCost{passes: 1, memory: 8, threads: 1}

// newCA is a CA whose clock stands at a moment.
func newCA(t testing.TB, o InitOptions) *CA {
	t.Helper()
	if o.Provider == "" {
		o.Provider = "big-server"
	}
	ca, err := Init(filepath.Join(t.TempDir(), "provider"), o)
	if err != nil {
		t.Fatal("init:", err)
	}
	return ca
}

func at(t time.Time) func() time.Time { return func() time.Time { return t } }

// provider are the files of the CA's provider.
func provider(t testing.TB, ca *CA) Files {
	t.Helper()
	if _, err := ca.EnsureProvider(); err != nil {
		t.Fatal("provider:", err)
	}
	return StateFiles(ca.Dir())
}

// clientOf are the files of a new client of the CA.
func clientOf(t testing.TB, ca *CA, name string, links ...string) Files {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "client")
	if _, err := ca.IssueTo(name, links, dir); err != nil {
		t.Fatal("issue:", err)
	}
	return StateFiles(dir)
}

// serverConfig is the provider's config for one handshake, so that a test can
// change it.
func serverConfig(t testing.TB, f Files) *tls.Config {
	t.Helper()
	config, err := ServerConfig(f)
	if err != nil {
		t.Fatal("provider's config:", err)
	}
	config, err = config.GetConfigForClient(nil)
	if err != nil {
		t.Fatal("provider's config for a client:", err)
	}
	return config
}

func clientConfig(t testing.TB, f Files, serverName string) *tls.Config {
	t.Helper()
	config, err := ClientConfig(f, serverName)
	if err != nil {
		t.Fatal("client's config:", err)
	}
	return config
}

// shook is how a handshake went for each side.
type shook struct {
	client, provider       error // of the handshake, and for the client of its first read
	clientTLS, providerTLS tls.ConnectionState
}

// shake does a handshake over loopback. The provider writes a byte after it, as
// a client learns only from its first read whether it was accepted.
func shake(t testing.TB, clientSide, providerSide *tls.Config) (s shook) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	deadline := time.Now().Add(10 * time.Second)
	done := make(chan struct{})
	go func() {
		defer close(done)
		c, err := l.Accept()
		if err != nil {
			s.provider = err
			return
		}
		defer c.Close()
		_ = c.SetDeadline(deadline)
		conn := tls.Server(c, providerSide)
		if s.provider = conn.Handshake(); s.provider == nil {
			s.providerTLS = conn.ConnectionState()
			_, s.provider = conn.Write([]byte{1})
		}
		// Wait for the client: to close with bytes unread would reset its read.
		_, _ = conn.Read(make([]byte, 1))
	}()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	_ = c.SetDeadline(deadline)
	conn := tls.Client(c, clientSide)
	if s.client = conn.Handshake(); s.client == nil {
		_, s.client = conn.Read(make([]byte, 1))
		s.clientTLS = conn.ConnectionState()
	}
	c.Close()
	<-done
	return s
}

// wantIs fails unless an error is one of a kind.
func wantIs(t testing.TB, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("got error %v, want %v", err, want)
	}
}

func mode(t testing.TB, path string) os.FileMode {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Mode().Perm()
}
