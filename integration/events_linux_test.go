package integration

import (
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// awaitSent waits until the peer's kernel has all that was written (SIOCOUTQ,
// tcp(7)): closing with RST throws away what has not left.
func awaitSent(t *testing.T, c *net.TCPConn) {
	t.Helper()
	raw, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	within(t, patience, func() bool {
		unsent := -1
		raw.Control(func(fd uintptr) { unsent, err = unix.IoctlGetInt(int(fd), unix.TIOCOUTQ) })
		if err != nil {
			t.Fatal(err)
		}
		return unsent == 0
	})
}

// awaitPeer is awaitSent for a goroutine that is not the test's own.
func awaitPeer(c *net.TCPConn) {
	raw, err := c.SyscallConn()
	if err != nil {
		return
	}
	for end := time.Now().Add(patience); time.Now().Before(end); <-time.After(time.Millisecond) {
		unsent := -1
		raw.Control(func(fd uintptr) { unsent, err = unix.IoctlGetInt(int(fd), unix.TIOCOUTQ) })
		if err != nil || unsent == 0 {
			return
		}
	}
}
