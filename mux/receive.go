package mux

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"
)

// inbox is what a stream has received and its reader has not taken yet. The
// bytes lie in pooled chunks: a stream without unread bytes holds none.
type inbox struct {
	mu       sync.Mutex
	chunks   []*chunk
	unread   int // bytes in the chunks
	held     int // bytes of the chunks' buffers
	window   window
	ended    bool  // nothing more will come
	finished bool  // by the peer's word
	dropped  bool  // nobody will read
	since    int64 // when its reader last took bytes, or the first came after it had all: nanoseconds since the session's epoch
	filled   int64 // when the first of what is unread came: nanoseconds since the session's epoch
	deadline time.Time
	wake     chan struct{} // tells a reader that blocks: bytes, end or deadline

	// While the reader is parked, and nil otherwise.
	push   func([]byte) int // takes bytes; may be nil then too
	resume func()
}

// receive takes a data frame's body from the connection. An error ends the
// session.
func (st *Stream) receive(n int) error {
	if err := st.in.take(n); err != nil {
		return err
	}
	for n > 0 {
		c := takeChunk(min(n, largeChunk))
		m := min(n, c.size())
		if err := st.s.readFull(c.whole[:m]); err != nil {
			c.free()
			return st.s.readCause(err)
		}
		c.end = m
		st.received(c)
		n -= m
	}
	return nil
}

// readFull is io.ReadFull that takes each record for a sign of life: on a slow path
// a frame may take longer than a silence may last.
func (s *Session) readFull(b []byte) error {
	for len(b) > 0 {
		n, err := s.tls.Read(b)
		if b = b[n:]; err != nil && len(b) > 0 {
			return noEOF(err)
		}
		s.life.heard()
	}
	return nil
}

// noEOF is for an end within a frame.
func noEOF(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

func (in *inbox) take(n int) error {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.finished {
		return fmt.Errorf("%w: %d bytes for a stream behind its end", ErrProtocol, n)
	}
	return in.window.take(n)
}

// received hands a chunk to a reader that waits, or keeps it for later. It
// takes the chunk over.
func (st *Stream) received(c *chunk) {
	in := &st.in
	var rest uint32
	in.mu.Lock()
	if in.dropped {
		in.mu.Unlock()
		c.free()
		return
	}
	// Bytes go to their destination right here as long as it takes them at once:
	// the reader's goroutine need not be woken. When it does not, the reader takes
	// over and the next bytes queue up for it.
	if in.push != nil && len(in.chunks) == 0 {
		taken := in.push(c.unread())
		c.start += taken
		grant := in.window.read(taken, in.unread, 0, st.s)
		if c.start == c.end {
			in.mu.Unlock()
			c.free()
			st.grant(grant)
			return
		}
		rest = grant
	}
	if len(in.chunks) == 0 {
		in.since = st.s.life.now()
		in.filled = in.since
	}
	added := in.keep(c)
	in.rouse()
	st.s.memory.hold(added)
	st.grant(rest)
}

// keep adds a chunk, or its bytes to the last one if they fit there: many small
// frames do not hold a buffer each. It returns the bytes of buffers added.
func (in *inbox) keep(c *chunk) (added int) {
	in.unread += c.end - c.start
	if k := len(in.chunks); k > 0 && c.size() == smallChunk && in.chunks[k-1].space() >= c.end-c.start {
		in.chunks[k-1].add(c.unread())
		c.free()
		return 0
	}
	in.chunks = append(in.chunks, c)
	in.held += c.size()
	return c.size()
}

// rouse tells the reader to look. mu is held, and released.
func (in *inbox) rouse() {
	resume := in.resume
	in.push, in.resume = nil, nil
	in.mu.Unlock()
	if resume != nil {
		go resume()
		return
	}
	select {
	case in.wake <- struct{}{}:
	default:
	}
}

// park is described at Stream.Park.
func (in *inbox) park(push func([]byte) int, resume func()) bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	if len(in.chunks) > 0 || in.ended {
		return false
	}
	in.push, in.resume = push, resume
	return true
}

// wait returns nil when there are bytes, io.EOF at an end, or
// os.ErrDeadlineExceeded.
func (in *inbox) wait() error {
	in.mu.Lock()
	defer in.mu.Unlock()
	for {
		switch {
		case len(in.chunks) > 0:
			return nil
		case in.ended:
			return io.EOF
		case !in.deadline.IsZero() && !time.Now().Before(in.deadline):
			return os.ErrDeadlineExceeded
		}
		deadline := in.deadline
		in.mu.Unlock()
		await(in.wake, deadline)
		in.mu.Lock()
	}
}

// await waits for a word or a time, if that is not zero.
func await(word <-chan struct{}, deadline time.Time) {
	if deadline.IsZero() {
		<-word
		return
	}
	timer := time.NewTimer(time.Until(deadline))
	defer timer.Stop()
	select {
	case <-word:
	case <-timer.C:
	}
}

// copyOut moves unread bytes into b.
func (st *Stream) copyOut(b []byte) int {
	in := &st.in
	in.mu.Lock()
	n, freed := 0, 0
	if in.dropped {
		in.mu.Unlock()
		return 0
	}
	for n < len(b) && len(in.chunks) > 0 {
		c := in.chunks[0]
		m := copy(b[n:], c.unread())
		n, c.start = n+m, c.start+m
		if c.start == c.end {
			freed += c.size()
			in.chunks[0] = nil
			in.chunks = in.chunks[1:]
			c.free()
		}
	}
	if len(in.chunks) == 0 {
		in.chunks = nil
	}
	in.unread -= n
	in.held -= freed
	if freed > 0 {
		in.since = st.s.life.now()
	}
	var ago time.Duration
	if in.unread > 0 {
		ago = time.Duration(st.s.life.now() - in.filled)
	}
	grant := in.window.read(n, in.unread, ago, st.s)
	in.mu.Unlock()
	st.s.memory.release(freed)
	st.grant(grant)
	return n
}

// end says that nothing more will come.
func (in *inbox) end() {
	in.mu.Lock()
	in.ended = true
	in.rouse()
}

// finish is end, and says that the peer has said so.
func (in *inbox) finish() {
	in.mu.Lock()
	in.ended, in.finished = true, true
	in.rouse()
}

// drop throws away what is unread and what may still come.
func (st *Stream) drop() {
	in := &st.in
	in.mu.Lock()
	in.ended, in.dropped = true, true
	freed := in.held
	for _, c := range in.chunks {
		c.free()
	}
	in.chunks, in.unread, in.held = nil, 0, 0
	in.window.close(&st.s.memory)
	in.rouse()
	st.s.dropUnread(st)
	st.s.memory.release(freed)
}

// grant lets the peer send more.
func (st *Stream) grant(n uint32) {
	if n == 0 || !st.readable() {
		return
	}
	// It fails when the session has ended, which the next read tells.
	_ = st.s.out.control(nil, makeHeader(typeWindowUpdate, st.firstFlags(), st.id, n))
}
