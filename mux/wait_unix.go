//go:build unix

package mux

import (
	"io"
	"net"
	"os"
	"syscall"
)

// waiter reads from a socket without holding a buffer while there is nothing to
// read: it takes one only to try, and gives it back before it parks.
type waiter struct {
	raw  syscall.RawConn
	try  func(fd uintptr) bool // made once: a closure a read would be garbage a read
	buf  *[wireBuffer]byte
	n    int
	errn error
}

func newWaiter(c net.Conn) waiter {
	sc, ok := c.(syscall.Conn)
	if !ok {
		return waiter{}
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return waiter{}
	}
	return waiter{raw: raw}
}

// read returns a borrowed buffer with n > 0 bytes in it, or an error and none.
func (w *waiter) read(c net.Conn) (*[wireBuffer]byte, int, error) {
	if w.raw == nil {
		return blockingRead(c)
	}
	if w.try == nil {
		w.try = w.attempt
	}
	err := w.raw.Read(w.try)
	buf := w.buf
	w.buf = nil
	switch {
	case err != nil: // closed, or the deadline passed
	case w.errn != nil:
		err = &net.OpError{Op: "read", Net: "tcp", Source: c.LocalAddr(), Addr: c.RemoteAddr(), Err: os.NewSyscallError("read", w.errn)}
	case w.n == 0:
		err = io.EOF
	default:
		return buf, w.n, nil
	}
	if buf != nil {
		wireBuffers.Put(buf)
	}
	return nil, 0, err
}

func (w *waiter) attempt(fd uintptr) bool {
	if w.buf == nil {
		w.buf = wireBuffers.Get().(*[wireBuffer]byte)
	}
	for {
		w.n, w.errn = syscall.Read(int(fd), w.buf[:])
		if w.errn != syscall.EINTR {
			break
		}
	}
	if w.errn == syscall.EAGAIN {
		wireBuffers.Put(w.buf)
		w.buf = nil
		return false
	}
	return true
}
