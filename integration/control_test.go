//go:build unix

package integration

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"ambassador/internal/admin"
)

// The control commands over a real pair, while things go well and while they do
// not.

// steered is a pair in short directories, as sockets need them.
type steered struct {
	t                *testing.T
	provider, client *process
	big, small       string // their state directories
	entry            string
}

func startSteered(t *testing.T, backend string, serve, connect []string) *steered {
	t.Helper()
	dir := shortDir(t)
	s := &steered{t: t, big: filepath.Join(dir, "big"), small: filepath.Join(dir, "small")}
	issue(t, s.big, s.small, "redis", "mq")
	s.provider = startProvider(t, s.big, append([]string{"--link", "redis=" + backend}, serve...)...)
	_, port, _ := net.SplitHostPort(backend)
	s.entry = "127.0.0.1:" + freePort(t)
	s.client = run(t, nil, append([]string{
		"connect", s.provider.address(), "--state-dir", s.small, "--expose", s.entry + "=redis:" + port,
	}, connect...)...)
	return s
}

// shortDir has room for a socket's name behind it, however long the test's is.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "a")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// asks runs a command about one side, and checks its exit code.
func (s *steered) asks(code int, dir string, args ...string) (stdout, stderr string) {
	s.t.Helper()
	got, stdout, stderr := once(s.t, nil, append(args, "--state-dir", dir)...)
	if got != code {
		s.t.Fatalf("ambassador %s: exit %d, want %d\n%s%s", strings.Join(args, " "), got, code, stdout, stderr)
	}
	return stdout, stderr
}

// document asks for one.
func document[T any](s *steered, code int, dir string, args ...string) (d T) {
	s.t.Helper()
	stdout, _ := s.asks(code, dir, append(args, "-o", "json")...)
	if err := json.Unmarshal([]byte(stdout), &d); err != nil {
		s.t.Fatalf("%v in %s", err, stdout)
	}
	return d
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return line
}

func TestControlOfAPairWithRedis(t *testing.T) {
	t.Parallel()
	r := startRedis(t)
	s := startSteered(t, r.addr(), nil, nil)

	t.Run("wait-and-healthcheck", func(t *testing.T) {
		for _, dir := range []string{s.big, s.small} {
			stdout, _ := s.asks(0, dir, "wait", "--timeout", "20s")
			if stdout != "1 link up\n" {
				t.Errorf("wait: %q", stdout)
			}
			if stdout, _ := s.asks(0, dir, "healthcheck"); stdout != "1 link up\n" {
				t.Errorf("healthcheck: %q", stdout)
			}
		}
		if stdout, _ := s.asks(0, s.small, "wait", "--link", "redis"); stdout != "redis is up\n" {
			t.Errorf("wait --link: %q", stdout)
		}
	})
	t.Run("both-sides-say-the-same-of-a-stream", func(t *testing.T) {
		c, err := net.Dial("tcp", s.entry)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(patience))
		const words = "PING\r\n"
		io.WriteString(c, words)
		if _, err := io.ReadFull(c, make([]byte, len("+PONG\r\n"))); err != nil {
			t.Fatal(err)
		}
		near := document[admin.Sessions](s, 0, s.small, "sessions", "--streams", "--link", "redis")
		far := document[admin.Sessions](s, 0, s.big, "sessions", "--streams", "--peer", "tester")
		if len(near.Streams) != 1 || len(far.Streams) != 1 || len(near.Sessions) != 1 || len(far.Sessions) != 1 {
			t.Fatalf("near %+v\nfar %+v", near, far)
		}
		a, b := near.Streams[0], far.Streams[0]
		if a.BytesIn != int64(len(words)) || a.BytesIn != b.BytesIn || a.BytesOut != 7 || a.BytesOut != b.BytesOut || a.Stream != b.Stream || a.Phase != "open" {
			t.Errorf("near %+v\nfar %+v", a, b)
		}
		if a.Consumer != c.LocalAddr().String() || b.Consumer != a.Consumer || b.Backend != r.addr() || a.Local != s.entry {
			t.Errorf("addresses: near %+v\nfar %+v", a, b)
		}
		if b.Peer != "spiffe://ambassador/client/tester" || !strings.HasPrefix(a.Peer, "spiffe://ambassador/provider/") {
			t.Errorf("peers: %q and %q", a.Peer, b.Peer)
		}
		text, _ := s.asks(0, s.big, "sessions", "--streams")
		if !regexp.MustCompile(`(?m)^ *` + b.ID + ` +redis:\d+ +tester +\d+s +6 B +7 B +open +` + regexp.QuoteMeta(b.Consumer)).MatchString(text) {
			t.Errorf("as text:\n%s", text)
		}
		peers, _ := s.asks(0, s.big, "peers")
		if !regexp.MustCompile(`(?m)^tester +connected .* mq redis +127\.0\.0\.1:`).MatchString(peers) {
			t.Errorf("peers:\n%s", peers)
		}

		stdout, _ := s.asks(0, s.small, "sessions", "--kill", a.ID)
		if stdout != "killed connection "+a.ID+"\n" {
			t.Errorf("kill: %q", stdout)
		}
		if _, err := c.Read(make([]byte, 1)); !isReset(err) {
			t.Errorf("the consumer of a killed connection sees %v, want a reset", err)
		}
		if _, stderr := s.asks(1, s.small, "sessions", "--kill", a.ID); !strings.Contains(stderr, "there is no live session or stream") {
			t.Errorf("killing it again: %s", stderr)
		}
	})
	t.Run("bytes-move-while-a-transfer-runs", func(t *testing.T) {
		stop := make(chan struct{})
		done := make(chan error, 1)
		go func() { done <- writeValues(s.entry, stop) }()
		seen := int64(0)
		for range 3 {
			eventually(t, patience, func() error {
				links := document[admin.Links](s, 0, s.big, "links")
				if now := links.Links[0].BytesIn; now <= seen {
					return fmt.Errorf("%d bytes, and %d before", now, seen)
				} else {
					seen = now
				}
				return nil
			})
		}
		close(stop)
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Run("killed-session-comes-back", func(t *testing.T) {
		before := document[admin.Sessions](s, 0, s.big, "sessions")
		s.asks(0, s.big, "sessions", "--kill", before.Sessions[0].ID)
		eventually(t, patience, func() error {
			now := document[admin.Sessions](s, 0, s.big, "sessions")
			if len(now.Sessions) != 1 || now.Sessions[0].ID == before.Sessions[0].ID {
				return fmt.Errorf("%+v", now.Sessions)
			}
			return nil
		})
		s.asks(0, s.small, "wait")
	})
	t.Run("stopped-backend", func(t *testing.T) {
		r.stop()
		for _, dir := range []string{s.big, s.small} {
			eventually(t, patience, func() error {
				_, stdout, _ := once(t, nil, "status", "--state-dir", dir)
				if firstLine(stdout) != "1 link degraded: redis: backend refused" {
					return fmt.Errorf("%s", stdout)
				}
				return nil
			})
			if d := document[admin.Status](s, 1, dir, "status"); d.Ready || d.Links[0].State != "degraded" || d.Links[0].Reason != "backend-refused" {
				t.Errorf("%+v", d)
			}
			s.asks(1, dir, "healthcheck")
			_, stderr := s.asks(1, dir, "wait", "--link", "redis", "--timeout", "1s")
			if !strings.Contains(stderr, "not ready after 1s: redis is degraded: backend refused") {
				t.Errorf("wait: %s", stderr)
			}
		}
		waited := make(chan int)
		go func() {
			code, _, _ := once(t, nil, "wait", "--state-dir", s.small)
			waited <- code
		}()
		r.start()
		if code := <-waited; code != 0 {
			t.Errorf("wait exits with %d when the backend comes back", code)
		}
	})
	t.Run("reload", func(t *testing.T) {
		for _, dir := range []string{s.big, s.small} {
			if stdout, _ := s.asks(0, dir, "reload"); stdout != "reloaded\n" {
				t.Errorf("%q", stdout)
			}
		}
	})
	t.Run("nothing-secret-is-shown", func(t *testing.T) {
		secrets := secretsIn(t, s.big, s.small)
		for _, dir := range []string{s.big, s.small} {
			for _, args := range [][]string{{"status"}, {"links"}, {"peers"}, {"sessions"}, {"sessions", "--streams"}} {
				for _, output := range []string{"text", "json"} {
					_, stdout, stderr := once(t, nil, append(args, "-o", output, "--state-dir", dir)...)
					for _, secret := range secrets {
						if strings.Contains(stdout+stderr, secret) {
							t.Errorf("%v -o %s shows a key", args, output)
						}
					}
				}
			}
		}
	})
	t.Run("provider-gone", func(t *testing.T) {
		s.provider.cmd.Process.Kill()
		<-s.provider.done
		eventually(t, patience, func() error {
			_, stdout, _ := once(t, nil, "status", "--state-dir", s.small)
			if !regexp.MustCompile(`^no session with 127\.0\.0\.1:\d+: connection refused; 1 link down$`).MatchString(firstLine(stdout)) {
				return fmt.Errorf("%s", stdout)
			}
			return nil
		})
		s.asks(1, s.small, "healthcheck")
		// What the dead one left is found to be dead.
		if _, stderr := s.asks(1, s.big, "status"); !strings.Contains(stderr, "no ambassador answers on") {
			t.Errorf("status of a killed provider: %s", stderr)
		}
		again := startProvider(t, s.big, "--link", "redis="+r.addr())
		s.asks(1, s.big, "wait", "--link", "mq", "--timeout", "100ms")
		s.asks(0, s.big, "wait")
		again.signal(syscall.SIGTERM)
		again.exit()
		if _, err := os.Lstat(filepath.Join(s.big, "serve.sock")); !os.IsNotExist(err) {
			t.Errorf("the socket is left behind: %v", err)
		}
	})
}

// writeValues writes values to a Redis until stop.
func writeValues(addr string, stop <-chan struct{}) error {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(2 * patience))
	value := strings.Repeat("v", 64<<10)
	for {
		select {
		case <-stop:
			return nil
		default:
		}
		if _, err := fmt.Fprintf(c, "SET k %s\r\n", value); err != nil {
			return err
		}
		if _, err := io.ReadFull(c, make([]byte, len("+OK\r\n"))); err != nil {
			return err
		}
	}
}

// secretsIn are lines of all keys in some directories.
func secretsIn(t *testing.T, dirs ...string) []string {
	t.Helper()
	var all []string
	for _, dir := range dirs {
		err := filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, ".key") && filepath.Base(path) != "key.pem" {
				return err
			}
			text, err := os.ReadFile(path)
			for _, line := range strings.Split(string(text), "\n") {
				if len(line) > 20 && !strings.HasPrefix(line, "---") {
					all = append(all, line)
				}
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if len(all) == 0 {
		t.Fatal("no key was found")
	}
	return all
}

func TestControlDrains(t *testing.T) {
	b := newBackend(t)
	for side, of := range map[string]func(*steered) (*process, string){
		"provider": func(s *steered) (*process, string) { return s.provider, s.big },
		"client":   func(s *steered) (*process, string) { return s.client, s.small },
	} {
		t.Run(side, func(t *testing.T) {
			s := startSteered(t, b.addr, nil, nil)
			s.asks(0, s.small, "wait")
			for len(b.conns) > 0 { // from who looked whether the backend answers
				(<-b.conns).Close()
			}
			p, dir := of(s)
			consumer, service := b.dial(t, s.entry)
			exchange(t, consumer, service)
			ended := make(chan string)
			go func() {
				_, stdout, _ := once(t, nil, "drain", "--wait", "--state-dir", dir)
				ended <- stdout
			}()
			p.waitLog("draining: no new connections, waiting for the running ones")
			if stdout, _ := s.asks(0, dir, "drain"); stdout != "draining: 1 connection left\n" {
				t.Errorf("drain again: %q", stdout)
			}
			s.asks(1, dir, "healthcheck")
			if side == "provider" {
				drainingFromAfar(s)
			}
			exchange(t, consumer, service)
			consumer.CloseWrite()
			service.CloseWrite()
			if code := p.exit(); code != 0 {
				t.Errorf("exit %d, want 0", code)
			}
			if stdout := <-ended; stdout != "drained: the ambassador has ended\n" {
				t.Errorf("drain --wait: %q", stdout)
			}
		})
	}
}

// drainingFromAfar expects that the client of a provider that drains does not speak
// as if there were no session.
func drainingFromAfar(s *steered) {
	s.t.Helper()
	said := regexp.MustCompile(`\Athe session with \S+ is draining and takes no new connections; no new session: .*connection refused; 1 link down\n.* 1 session, 1 connection, `)
	eventually(s.t, patience, func() error {
		if stdout, _ := s.asks(1, s.small, "status"); !said.MatchString(stdout) {
			return fmt.Errorf("%s", stdout)
		}
		return nil
	})
}

// A stopped process keeps its socket, and says nothing on it.
func TestControlOfAStoppedProcess(t *testing.T) {
	t.Parallel()
	dir := shortDir(t)
	p := startProvider(t, dir, "--link", "closed=127.0.0.1:1")
	p.signal(syscall.SIGSTOP)
	defer p.signal(syscall.SIGCONT)
	began := time.Now()
	code, _, stderr := once(t, nil, "status", "--state-dir", dir)
	if took := time.Since(began); code != 1 || took > 10*time.Second {
		t.Errorf("exit %d after %v, want 1 within 5 s", code, took)
	}
	if !regexp.MustCompile(`^ambassador: the ambassador on \S+/serve.sock does not answer: its process is stopped, or has too much to do: look at it with ps or top, and at its log\n$`).MatchString(stderr) {
		t.Errorf("%s", stderr)
	}
}

// A new provider takes the path of the one whose place it takes, and keeps it when
// the old one ends.
func TestControlSocketMovesToTheNextProvider(t *testing.T) {
	b := newBackend(t)
	s := startSteered(t, b.addr, nil, nil)
	port := freePort(t)
	first := run(t, nil, "serve", "--listen", "127.0.0.1:"+port, "--reuse-port", "--state-dir", s.big+"2", "--link", "redis="+b.addr)
	first.waitLog("serving")
	second := run(t, nil, "serve", "--listen", "127.0.0.1:"+port, "--reuse-port", "--state-dir", s.big+"2", "--link", "redis="+b.addr)
	second.waitLog("serving")
	first.signal(syscall.SIGTERM)
	if code := first.exit(); code != 0 {
		t.Errorf("exit %d", code)
	}
	if d := document[admin.Status](s, 0, s.big+"2", "status"); d.PID != second.cmd.Process.Pid {
		t.Errorf("process %d answers, want %d", d.PID, second.cmd.Process.Pid)
	}
}

// SIGHUP may come as soon as somebody reads that the service is there.
func TestHangupAtOnceEndsNothing(t *testing.T) {
	b := newBackend(t)
	for range 5 {
		s := startSteered(t, b.addr, nil, nil)
		s.provider.signal(syscall.SIGHUP)
		s.provider.waitLog("reloading")
		s.asks(0, s.big, "wait")
	}
}
