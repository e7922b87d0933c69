//go:build !linux

package link

import "syscall"

// holdBackACK is for systems that can: elsewhere a service accepts a connection
// that is reset.
func holdBackACK(syscall.RawConn) error { return nil }
