//go:build !unix

package mux

import (
	"net"
	"time"
)

// rawIO: elsewhere a buffer is held while a session waits.
type rawIO struct{}

func newRawIO(net.Conn) *rawIO { return nil }

func (*rawIO) readSome(c net.Conn) (*[wireBuffer]byte, int, error) { return blockingRead(c) }

func (*rawIO) writeAll(c net.Conn, b []byte, within time.Duration) error {
	return blockingWrite(c, b, within)
}
