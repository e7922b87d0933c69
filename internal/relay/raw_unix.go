//go:build unix

package relay

import (
	"errors"
	"io"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// rawSource reads a TCP end without holding a buffer while it waits, and
// without a system call for the waiting: it tries the read, and only when that
// would block the buffer goes back and the goroutine parks.
//
// Towards another TCP end, bulk goes by splice(2) where there is one. Only what
// the kernel already holds is spliced, so that no pipe is held while waiting,
// and so that an error of the splice is the destination's.
type rawSource struct {
	chunk
	from *TCPEnd
	try  func(fd uintptr) bool // made once: a closure per read would be garbage
	err  error

	to     *TCPEnd       // the other end, if bytes can be spliced to it
	moved  *atomic.Int64 // bytes, by which the dozing judge
	resume func()
	roused bool // they watch this source

	bulk   uint8            // above 0: look what is queued; counts small reads down
	queued int              // bytes to splice; 0: what was read is in chunk
	limit  io.LimitedReader // net knows this type and splices through it
}

const (
	// spliceMin is the least number of bytes to splice, and the size of a read
	// that makes it worth a system call to see whether more is queued. From
	// 16 to 64 KiB two splices through a pipe cost what a read and a write
	// cost, and in bulk about a tenth less (BenchmarkRelayTCP on loopback).
	spliceMin = 16 << 10
	// spliceMax bounds one splice in bytes, so that the live counts are fresh.
	spliceMax = 1 << 20
)

func newRawSource(from, to End, moved *atomic.Int64, resume func()) source {
	e, ok := from.(*TCPEnd)
	if !ok {
		return nil
	}
	s := &rawSource{from: e, moved: moved, resume: resume}
	s.try = s.read
	if dst, ok := to.(*TCPEnd); ok && canSplice {
		s.to = dst
		s.limit.R = e.conn
	}
	return s
}

func (s *rawSource) wait() error {
	if !s.roused {
		s.roused = true
		rouses.add(s)
	}
	for s.err = nil; ; {
		err := s.from.raw.Read(s.try)
		if err == nil {
			return s.err
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return err
		}
		if s.doze() {
			return errParked
		}
	}
}

// read runs when the socket may be readable, with the descriptor held open.
func (s *rawSource) read(fd uintptr) (done bool) {
	if s.bulk > 0 {
		if n := readQueue(int(fd)); n >= spliceMin {
			s.queued, s.bulk = min(n, spliceMax), smallReads
			return true
		}
	}
	buf := s.take()
	n, err := readNow(fd, buf.b)
	if n > 0 {
		s.buf, s.n = buf, n
		s.saw(n)
		if n >= spliceMin && s.to != nil {
			s.bulk = smallReads
		} else if s.bulk > 0 {
			s.bulk--
		}
		return true
	}
	buf.put()
	switch {
	case err == unix.EAGAIN:
		return false
	case err != 0:
		s.err = os.NewSyscallError("read", err)
	default:
		s.err = s.from.endOfFile(int(fd))
	}
	return true
}

func (s *rawSource) move(to End) (int64, error) {
	if s.queued == 0 {
		return s.chunk.move(to)
	}
	s.limit.N = int64(s.queued)
	s.queued = 0
	for moved := int64(0); ; {
		n, err := s.to.conn.ReadFrom(&s.limit)
		moved += n
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return moved, err
		}
		// A slow destination looked like an idle source.
		_ = s.from.conn.SetReadDeadline(time.Time{})
		s.roused = false // they watch it no more
	}
}

// tryWrite writes as much of b as the kernel takes at once. What it does not
// take, for whatever reason, Write is to try: the error shows there.
func (e *TCPEnd) tryWrite(b []byte) int {
	w := &e.writing
	w.begin(b)
	_ = e.raw.Write(w.once)
	if w.err != syscall.EAGAIN {
		w.failed = w.err
	}
	return w.end()
}

// Write writes like net.Conn, without a deadline.
func (e *TCPEnd) Write(b []byte) (int, error) {
	w := &e.writing
	if w.failed != 0 {
		return 0, os.NewSyscallError("write", w.failed)
	}
	w.begin(b)
	err := e.raw.Write(w.all)
	if err == nil && w.err != 0 {
		err = os.NewSyscallError("write", w.err)
	}
	return w.end(), err
}

// writing is a write under way; there is one at a time. Its functions are made
// once: a closure a write would be garbage a write.
type writing struct {
	once, all func(fd uintptr) bool
	rest      []byte
	n         int
	err       syscall.Errno
	// failed is how tryWrite has failed. The kernel tells why a connection broke
	// once (SO_ERROR, socket(7)); the next write would say EPIPE, and a timeout would
	// look like the peer's own end.
	failed syscall.Errno
}

func (w *writing) begin(b []byte) {
	if w.once == nil {
		w.once = func(fd uintptr) bool { w.try(fd); return true }
		w.all = func(fd uintptr) bool { return w.try(fd) }
	}
	w.rest, w.n, w.err = b, 0, 0
}

func (w *writing) end() int {
	w.rest = nil
	return w.n
}

// try writes until all is written or it fails. Not when it would block: then it
// says no, to be called again.
func (w *writing) try(fd uintptr) (done bool) {
	for len(w.rest) > 0 {
		var n int
		n, w.err = writeNow(fd, w.rest)
		if w.err != 0 {
			return w.err != syscall.EAGAIN
		}
		w.n += n
		w.rest = w.rest[n:]
	}
	return true
}
