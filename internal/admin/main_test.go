package admin_test

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"ambassador/internal/admin"
	"ambassador/internal/live"

	"go.uber.org/goleak"
)

// TestMain finds goroutines that are left. One of net/http's stays for half a second
// with a connection whose request was refused before it was read.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("net/http.(*conn).closeWriteAndWait"))
}

// carrier is a session as its row sees it.
type carrier struct {
	remote string
	silent time.Duration
}

func (c carrier) RTT() time.Duration     { return 3 * time.Millisecond }
func (c carrier) Silence() time.Duration { return c.silent }
func (c carrier) RemoteAddr() net.Addr   { return tcpAddr(c.remote) }
func (c carrier) LocalAddr() net.Addr    { return tcpAddr("127.0.0.1:7000") }

func tcpAddr(s string) net.Addr {
	a, err := net.ResolveTCPAddr("tcp", s)
	if err != nil {
		panic(err)
	}
	return a
}

// relayed is a stream that is being relayed.
type relayed struct {
	in, out int64
	aborted chan string
}

func (r *relayed) Bytes() (ab, ba int64) { return r.in, r.out }
func (r *relayed) Abort(reason string) {
	if r.aborted != nil {
		r.aborted <- reason
	}
}

// provider is an ambassador with two links, of which redis has two ports.
func provider() *admin.Ambassador {
	return &admin.Ambassador{
		Role: admin.RoleProvider, Table: new(live.Table), Started: time.Now(),
		Facts: func() admin.Facts {
			return admin.Facts{
				Identity: "spiffe://ambassador/provider/big-server", Listen: []string{"127.0.0.1:7000"},
				Links: []admin.LinkFacts{
					{Name: "mq", Ports: []admin.PortFacts{{Number: 5672, Backend: "rabbit:5672"}}},
					{Name: "redis", Ports: []admin.PortFacts{{Number: 6379, Backend: "redis:6379"}, {Number: 6380, Backend: "redis:6380"}}},
				},
			}
		},
	}
}

// withFacts changes an ambassador's facts.
func withFacts(a *admin.Ambassador, change func(*admin.Facts)) *admin.Ambassador {
	facts := a.Facts
	a.Facts = func() admin.Facts {
		f := facts()
		change(&f)
		return f
	}
	return a
}

// allAnswer has all backends of provider answer.
func allAnswer(t *live.Table) {
	for link, ports := range map[string][]uint16{"mq": {5672}, "redis": {6379, 6380}} {
		for _, p := range ports {
			t.Dialled(link, p, live.Running, time.Now(), time.Millisecond)
		}
	}
}

// serveControl answers on a socket of the test, until it ends.
func serveControl(t *testing.T, a *admin.Ambassador) *admin.Remote {
	t.Helper()
	path := filepath.Join(shortDir(t), "s")
	l, err := admin.Listen(path, false)
	if err != nil {
		t.Fatal(err)
	}
	return serveOn(t, a, l, path)
}

func serveOn(t *testing.T, a *admin.Ambassador, l net.Listener, path string) *admin.Remote {
	t.Helper()
	c := &admin.Control{Ambassador: a}
	served := make(chan error, 1)
	go func() { served <- c.Serve(l) }()
	r := admin.At(path)
	t.Cleanup(func() {
		r.Close()
		if err := errors.Join(c.Close(), <-served); err != nil {
			t.Error(err)
		}
		l.Close()
	})
	return r
}

// shortDir is a directory whose path leaves room for a socket's name, however long
// the test's is (sun_path, unix(7)).
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "a")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func bounded(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}
