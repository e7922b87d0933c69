package mux

import (
	"net"
	"time"

	"golang.org/x/sys/unix"
)

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
	})
	if err != nil {
		return err
	}
	if opt != nil {
		return opt
	}
	return setUnsent(c, unsentFast)
}

// setUnsent bounds the bytes that wait unsent in a socket (tcp(7),
// TCP_NOTSENT_LOWAT).
func setUnsent(c *net.TCPConn, n int) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var opt error
	err = raw.Control(func(fd uintptr) {
		opt = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, n)
	})
	if err != nil {
		return err
	}
	return opt
}

// acknowledged gives the bytes that the peer has acknowledged (tcpi_bytes_acked).
func acknowledged(c *net.TCPConn) (n uint64) {
	raw, err := c.SyscallConn()
	if err != nil {
		return 0 // it is closed
	}
	_ = raw.Control(func(fd uintptr) {
		if info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO); err == nil {
			n = info.Bytes_acked
		}
	})
	return n
}
