package relay

import "sync/atomic"

// source is the reading half of a direction. wait blocks until there is
// something to move and holds no buffer meanwhile, where its end can do that;
// its error is the source's, io.EOF at a clean end. move writes what wait found
// and gives the buffer back; its error is the destination's.
type source interface {
	wait() error
	move(to End) (int64, error)
}

func newSource(from, to End, moved *atomic.Int64) source {
	if s := newRawSource(from, to); s != nil {
		return s
	}
	s := &endSource{from: from}
	s.readable, _ = from.(readable)
	s.pusher, _ = from.(pusher)
	if tcp, ok := to.(*TCPEnd); ok && s.pusher != nil {
		s.push = func(b []byte) int {
			n := tcp.tryWrite(b)
			moved.Add(int64(n))
			return n
		}
	}
	return s
}

type readable interface{ WaitReadable() error }

// pusher is an end that can hand small messages on while its reader waits. That
// saves waking the reader, which for chatter costs more than the message.
type pusher interface {
	WaitReadableOr(push func([]byte) int) error
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
	readable readable // nil: a small buffer is held while waiting
	pusher   pusher
	push     func([]byte) int // nil: nothing is pushed
	err      error            // came with the last bytes
}

func (s *endSource) wait() error {
	if s.err != nil {
		return s.err
	}
	for {
		if s.push != nil {
			if err := s.pusher.WaitReadableOr(s.push); err != nil {
				return err
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
