//go:build unix

package integration

import (
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"ambassador/internal/admin"
	"ambassador/internal/live"
)

// listedWithin is what a person takes for at once.
const listedWithin = 100 * time.Millisecond

// TestTenThousandSessionsAreListedAtOnce times the whole command, from its start to
// its end, in the best of some runs: the others shared the machine. With the race
// detector only the list is looked at.
func TestTenThousandSessionsAreListedAtOnce(t *testing.T) {
	path := manySessions(t, 10_000)
	for _, args := range [][]string{{"sessions"}, {"sessions", "--streams"}, {"sessions", "-o", "json"}} {
		best, runs := time.Hour, 30
		if raceEnabled {
			runs = 1
		}
		for n := 0; n < runs && (n < 3 || best > listedWithin); n++ {
			began := time.Now()
			code, stdout, stderr := once(t, nil, append(args, "--control-socket", path)...)
			best = min(best, time.Since(began))
			if code != 0 || strings.Count(stdout, "\n") < 10_000 {
				t.Fatalf("exit %d with %d lines: %s", code, strings.Count(stdout, "\n"), stderr)
			}
		}
		t.Logf("ambassador %s: %v", strings.Join(args, " "), best)
		if best > listedWithin && !raceEnabled {
			t.Errorf("ambassador %s takes %v, want %v at most", strings.Join(args, " "), best, listedWithin)
		}
	}
}

// manySessions is the control socket of a provider that has so many sessions, with a
// stream on each.
func manySessions(t *testing.T, n int) (path string) {
	t.Helper()
	table := new(live.Table)
	for i := range n {
		peer := "spiffe://ambassador/client/client-" + strconv.Itoa(i)
		s := table.OpenSession(peer, "v1.2.3", distant{}, func() {})
		st := table.OpenStream(peer, "redis", 6379, "192.168.1.52:50000", "")
		st.On(s, 1)
		st.Connected(distant{}.RemoteAddr(), time.Millisecond)
		st.Carry(distant{})
	}
	dir, err := os.MkdirTemp("", "a")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	path = filepath.Join(dir, "s")
	l, err := admin.Listen(path, false)
	if err != nil {
		t.Fatal(err)
	}
	c := &admin.Control{Ambassador: &admin.Ambassador{Role: admin.RoleProvider, Table: table}}
	served := make(chan error, 1)
	go func() { served <- c.Serve(l) }()
	t.Cleanup(func() {
		c.Close()
		<-served
		l.Close()
	})
	return path
}

// distant is a session, and a flow over it.
type distant struct{}

func (distant) RTT() time.Duration     { return 20 * time.Millisecond }
func (distant) Silence() time.Duration { return time.Second }
func (distant) RemoteAddr() net.Addr   { return &net.TCPAddr{IP: net.IPv4(10, 1, 2, 3), Port: 45678} }

func (distant) LocalAddr() net.Addr    { return &net.TCPAddr{IP: net.IPv4(10, 1, 2, 4), Port: 7000} }
func (distant) Bytes() (in, out int64) { return 123456, 9876543 }
func (distant) Abort(string)           {}
