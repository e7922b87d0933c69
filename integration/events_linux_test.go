package integration

import (
	"net"
	"testing"

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
