//go:build unix

package integration

import (
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// hold takes the lock of a file or directory, as another process would that
// hangs, until the test ends.
func hold(t *testing.T, path string) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		t.Fatal(err)
	}
}

// endsWithin sends SIGTERM and waits for the end.
func endsWithin(t *testing.T, p *process, limit time.Duration) {
	t.Helper()
	p.signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(limit):
		t.Errorf("still running %v after SIGTERM", limit)
	}
}

// Another process that holds a lock for ever, such as a stopped one, keeps
// nobody from ending, and who waits says for whom.
func TestHeldLockIsToldAndKeepsNobodyFromEnding(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	const waiting = "waiting for another process that holds "
	lock, client := dir+"/provider/lock", dir+"/client"
	t.Run("serve and its joiner", func(t *testing.T) {
		p := startProvider(t, dir+"/provider", "--link", "redis=127.0.0.1:1")
		token := invite(t, dir+"/provider", "web")
		hold(t, lock)
		c := run(t, nil, "connect", p.address(), "--state-dir", client, "--join", token, "--expose", freePort(t)+"=redis")
		p.waitLog(waiting + lock)
		endsWithin(t, p, 5*time.Second)
		c.waitLog("provider not reached to join, will keep trying")
		endsWithin(t, c, 5*time.Second)
	})
	t.Run("serve that starts", func(t *testing.T) {
		hold(t, lock)
		p := run(t, nil, "serve", "--listen", "127.0.0.1:0", "--state-dir", dir+"/provider", "--link", "redis=127.0.0.1:1")
		p.waitLog(waiting + lock)
		endsWithin(t, p, 5*time.Second)
	})
	t.Run("connect", func(t *testing.T) {
		hold(t, client)
		token := invite(t, dir+"/provider", "web")
		c := run(t, nil, "connect", "127.0.0.1:1", "--state-dir", client, "--join", token, "--expose", freePort(t)+"=redis")
		c.waitLog(waiting + client)
		endsWithin(t, c, 5*time.Second)
	})
	t.Run("revoke", func(t *testing.T) {
		hold(t, lock)
		p := run(t, nil, "revoke", "web", "--state-dir", dir+"/provider")
		for end := time.Now().Add(patience); !strings.Contains(p.log(), "ambassador: "+waiting+lock); time.Sleep(10 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatal("not told")
			}
		}
		endsWithin(t, p, 5*time.Second)
	})
}

// A second SIGTERM is not kept waiting by anything: here by a file that cannot be
// read to its end, as on a disk that does not answer.
func TestSecondSignalEndsWhateverIsWaitedFor(t *testing.T) {
	dir := t.TempDir()
	p := startProvider(t, dir+"/provider", "--link", "redis=127.0.0.1:1")
	// It listens for signals when it answers.
	c, err := net.Dial("tcp", p.address())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, "no TLS\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, c)
	cert := dir + "/provider/cert.pem"
	if err := os.Rename(cert, cert+".away"); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mkfifo(cert, 0o600); err != nil {
		t.Fatal(err)
	}
	p.signal(syscall.SIGHUP)
	p.waitLog("reloading")
	p.signal(syscall.SIGTERM)
	p.waitLog("drained")
	endsWithin(t, p, 5*time.Second)
	p.waitLog("ended by a second signal, while something did not end")
}
