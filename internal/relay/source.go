package relay

import (
	"errors"
	"sync/atomic"
)

// source is the reading half of a direction. wait blocks until there is
// something to move and holds no buffer meanwhile, where its end can do that;
// its error is the source's, io.EOF at a clean end, or errParked: then resume is
// called later, in a goroutine of its own, and wait is to be called again. move
// writes what wait found and gives the buffer back; its error is the
// destination's.
type source interface {
	wait() error
	move(to End) (int64, error)
}

// errParked: the direction needs no goroutine until there is something to move.
var errParked = errors.New("parked")

func newSource(from, to End, moved *atomic.Int64, resume func()) source {
	if s := newRawSource(from, to, moved, resume); s != nil {
		return s
	}
	s := &endSource{from: from, resume: resume}
	s.readable, _ = from.(readable)
	s.parker, _ = from.(parker)
	if tcp, ok := to.(*TCPEnd); ok && s.parker != nil {
		s.push = func(b []byte) int {
			n := tcp.tryWrite(b)
			moved.Add(int64(n))
			return n
		}
	}
	return s
}

type readable interface{ WaitReadable() error }

// parker is an end that hands bytes on by itself while its reader is parked. That
// saves waking a goroutine, which for chatter costs more than the message, and
// the stack that it would wait on.
type parker interface {
	Park(push func([]byte) int, resume func()) bool
}

// chunk is what was read and not written yet.
type chunk struct {
	sizer
	buf *buffer
	n   int
}

func (c *chunk) move(to End) (int64, error) {
	n, err := to.Write(c.buf.b[:c.n])
	c.buf.put()
	c.buf = nil
	return int64(n), err
}

// endSource reads any End.
type endSource struct {
	chunk
	from     End
	readable readable         // nil: a small buffer is held while waiting
	parker   parker           // nil: a goroutine is held while waiting
	push     func([]byte) int // nil: nothing is pushed
	resume   func()
	err      error // came with the last bytes
}

func (s *endSource) wait() error {
	if s.err != nil {
		return s.err
	}
	for {
		if s.parker != nil {
			if s.parker.Park(s.push, s.resume) {
				return errParked
			}
		} else if s.readable != nil {
			if err := s.readable.WaitReadable(); err != nil {
				return err
			}
		}
		s.buf = s.take()
		n, err := s.from.Read(s.buf.b)
		if n > 0 {
			s.saw(n)
			s.n, s.err = n, err
			return nil
		}
		s.buf.put()
		s.buf = nil
		if err != nil {
			return err
		}
	}
}
