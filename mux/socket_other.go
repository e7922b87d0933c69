//go:build !linux

package mux

import (
	"net"
	"time"
)

// tuneSocket sets keepalive. TCP_USER_TIMEOUT and TCP_NOTSENT_LOWAT are
// Linux's; elsewhere the session's own liveness ends a dead one.
func tuneSocket(c *net.TCPConn, dead time.Duration) error {
	return c.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: dead / 2, Interval: dead / 6, Count: 3})
}

// setUnsent does nothing: what waits unsent is the kernel's choice.
func setUnsent(*net.TCPConn, int) error { return nil }

func acknowledged(*net.TCPConn) uint64 { return 0 }
