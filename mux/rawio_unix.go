//go:build unix

package mux

import (
	"io"
	"net"
	"os"
	"syscall"
	"time"
)

// rawIO reads and writes a socket by system calls of its own, readNow and writeNow.
//
// It reads without holding a buffer while there is nothing to read: it takes one
// only to try, and gives it back before it parks. One goroutine may read while
// another writes.
type rawIO struct {
	raw   syscall.RawConn // nil: the connection is none of the kernel's, such as net.Pipe
	read  attempt
	write attempt
}

// attempt is one system call that is tried. Its method values are made once: a
// closure a call would be garbage a call.
type attempt struct {
	try func(fd uintptr) bool
	buf *[wireBuffer]byte
	out []byte
	n   int
	err syscall.Errno
}

func newRawIO(c net.Conn) *rawIO {
	r := new(rawIO)
	if sc, ok := c.(syscall.Conn); ok {
		r.raw, _ = sc.SyscallConn() // of a closed connection: the first read tells
	}
	r.read.try, r.write.try = r.read.tryRead, r.write.tryWrite
	return r
}

// readSome returns a borrowed buffer with n > 0 bytes in it, or an error and none.
func (r *rawIO) readSome(c net.Conn) (*[wireBuffer]byte, int, error) {
	if r.raw == nil {
		return blockingRead(c)
	}
	a := &r.read
	err := r.raw.Read(a.try)
	buf := a.buf
	a.buf = nil
	switch {
	case err != nil: // closed, or the deadline passed
	case a.err != 0:
		err = opError("read", c, a.err)
	case a.n == 0:
		err = io.EOF
	default:
		return buf, a.n, nil
	}
	if buf != nil {
		wireBuffers.Put(buf)
	}
	return nil, 0, err
}

func (a *attempt) tryRead(fd uintptr) bool {
	if a.buf == nil {
		a.buf = wireBuffers.Get().(*[wireBuffer]byte)
	}
	a.n, a.err = readNow(fd, a.buf[:])
	if a.err == syscall.EAGAIN {
		wireBuffers.Put(a.buf)
		a.buf = nil
		return false
	}
	return true
}

// writeAll writes b. When the peer takes nothing it waits, within the time given.
func (r *rawIO) writeAll(c net.Conn, b []byte, within time.Duration) error {
	for r.raw != nil && len(b) > 0 {
		a := &r.write
		a.out = b
		err := r.raw.Write(a.try)
		a.out = nil
		if err != nil {
			return err
		}
		if a.err == syscall.EAGAIN {
			break
		}
		if a.err != 0 {
			return opError("write", c, a.err)
		}
		b = b[a.n:]
	}
	if len(b) == 0 {
		return nil
	}
	// Only now: a deadline costs as much as a small request's encryption.
	return blockingWrite(c, b, within)
}

// tryWrite does not wait: writeAll does that with a deadline.
func (a *attempt) tryWrite(fd uintptr) bool {
	a.n, a.err = writeNow(fd, a.out)
	return true
}

func opError(op string, c net.Conn, err syscall.Errno) error {
	return &net.OpError{Op: op, Net: "tcp", Source: c.LocalAddr(), Addr: c.RemoteAddr(), Err: os.NewSyscallError(op, err)}
}
