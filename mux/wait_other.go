//go:build !unix

package mux

import "net"

// waiter on systems without readiness callbacks keeps a buffer while it waits.
type waiter struct{}

func newWaiter(net.Conn) waiter { return waiter{} }

func (waiter) read(c net.Conn) (*[wireBuffer]byte, int, error) { return blockingRead(c) }
