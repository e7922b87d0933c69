package mux

import (
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// notSentLowat bounds the bytes that wait unsent in the socket of a session
// (tcp(7), TCP_NOTSENT_LOWAT): what is queued there can no longer be overtaken
// by a small request. Two batches keep the path busy.
const notSentLowat = 2 * wireBuffer

// tuneSocket sets what a long-lived carrier wants of its socket. The Go runtime
// has set TCP_NODELAY already. TCP_USER_TIMEOUT (tcp(7)) makes the kernel give
// up on unacknowledged bytes when the session would; it fails on MPTCP sockets,
// which is why listeners are opened without MPTCP.
func tuneSocket(c *net.TCPConn, dead time.Duration) error {
	if err := c.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: dead / 2, Interval: dead / 6, Count: 3}); err != nil {
		return err
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var opt error
	err = raw.Control(func(fd uintptr) {
		if opt = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(dead.Milliseconds())); opt != nil {
			return
		}
		opt = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, notSentLowat)
	})
	if err != nil {
		return err
	}
	return opt
}
