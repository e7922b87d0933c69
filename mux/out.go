package mux

import (
	"fmt"
	"sync"
)

// Bounds of the batch that gathers while the one before it is written, in bytes.
const (
	// batchData: a writer of data waits while this much is gathered. Two wire
	// buffers: one on its way to the kernel and one gathering keep it busy.
	batchData = wireBuffer
	// batchHard: even control frames wait. Only a peer that makes us answer
	// without reading the answers gets here.
	batchHard = batchData + 256<<10
	// maxFrame bounds the body of one data frame. The receiver takes a frame
	// whole before its reader gets any of it, so that large ones add latency.
	maxFrame = 32 << 10
)

// errClosing is for writers of a session that this side is closing.
var errClosing = fmt.Errorf("%w: %w", ErrSessionLost, ErrClosed)

// batch is what goes to the connection in one piece.
type batch struct{ bytes []byte }

var batches = sync.Pool{New: func() any {
	return &batch{make([]byte, 0, batchData+maxFrame+headerSize)}
}}

// out gathers frames into batches: while one batch is being encrypted and
// written, what comes next is the next batch. There is no timer. A frame's
// header and body, and many small frames, share a TLS record.
//
// yamux writes its control frames to it (Write), streams their data (data), and
// resets go in sideways (inject).
type out struct {
	send  func(batch []byte) error // writes one batch; called by the flusher only
	bye   func()                   // says goodbye after the last batch; called by the flusher
	track func(h *frameHeader) (pass bool)

	mu       sync.Mutex
	work     sync.Cond // the flusher waits: something gathered, or closed
	room     sync.Cond // writers wait: below the bound, or closed, or a stream was reset
	pending  *batch    // nil when nothing is gathered: an idle session holds no buffer
	finish   bool      // write what is gathered, take no more
	closed   bool
	err      error
	bodyLeft uint32 // of the frame that yamux is writing
	bodyDrop bool   // that frame is not to be sent
	done     chan struct{}
}

func newOut(send func([]byte) error, bye func(), track func(*frameHeader) bool) *out {
	o := &out{send: send, bye: bye, track: track, done: make(chan struct{})}
	o.work.L, o.room.L = &o.mu, &o.mu
	return o
}

// flush is the body of the flusher goroutine. It ends when the connection fails
// or out is closed, and returns the error of the connection.
func (o *out) flush() error {
	defer close(o.done)
	o.mu.Lock()
	defer o.mu.Unlock()
	for {
		for o.pending == nil && !o.finish && !o.closed {
			o.work.Wait()
		}
		if o.closed {
			return nil
		}
		if o.pending == nil { // finished
			o.closed = true
			o.mu.Unlock()
			o.bye()
			o.mu.Lock()
			return nil
		}
		b := o.pending
		o.pending = nil
		o.mu.Unlock()

		err := o.send(b.bytes)
		b.bytes = b.bytes[:0]
		batches.Put(b)

		o.mu.Lock()
		o.room.Broadcast()
		if err != nil && !o.closed {
			o.err, o.closed = err, true
			return err
		}
	}
}

// Write takes yamux's frames: a header in one call, its body in the next.
func (o *out) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for o.gathered() >= batchHard && o.open() {
		o.room.Wait()
	}
	if o.closed {
		return 0, o.failure()
	}
	if o.bodyLeft > 0 {
		o.bodyLeft -= uint32(len(p))
		if !o.bodyDrop {
			o.gather(p)
		}
		return len(p), nil
	}
	h := (*frameHeader)(p)
	o.bodyLeft = h.body()
	// A session that is closing sends what it has gathered and no more. An error
	// here would have yamux cut the connection before that is over.
	o.bodyDrop = o.finish || !o.track(h)
	if o.bodyDrop {
		return len(p), nil
	}
	o.append(p)
	// A SYN is not worth a record of its own: the open header follows at once.
	if h.flags()&flagSYN == 0 || !h.ofStream() {
		o.work.Signal()
	}
	return len(p), nil
}

// data gathers one data frame made of two parts. It waits for room while the
// stream is open, and fails once it is cut.
func (o *out) data(st *Stream, prefix, body []byte) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	for o.gathered() >= batchData && o.open() && !st.cut() {
		o.room.Wait()
	}
	if !o.open() {
		return o.failure()
	}
	if err := st.cutError(); err != nil {
		return err
	}
	h := makeHeader(typeData, 0, st.id, uint32(len(prefix)+len(body)))
	o.append(h[:])
	o.append(prefix)
	o.gather(body)
	return nil
}

func (o *out) gather(p []byte) {
	o.append(p)
	o.work.Signal()
}

func (o *out) append(p []byte) {
	if o.pending == nil {
		o.pending = batches.Get().(*batch)
	}
	o.pending.bytes = append(o.pending.bytes, p...)
}

// gathered is the number of bytes that wait to be written.
func (o *out) gathered() int {
	if o.pending == nil {
		return 0
	}
	return len(o.pending.bytes)
}

// inject puts a frame of our own behind what is gathered. It never waits.
func (o *out) inject(h frameHeader) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.open() {
		o.gather(h[:])
	}
}

// offer is inject for a frame that may be left out when the peer does not read.
func (o *out) offer(h frameHeader) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.open() && o.gathered() < batchHard {
		o.gather(h[:])
	}
}

// closing says whether no more frames are taken, and why.
func (o *out) closing() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.open() {
		return nil
	}
	return o.failure()
}

// wake lets writers that wait for room look at their stream again.
func (o *out) wake() {
	o.mu.Lock()
	o.room.Broadcast()
	o.mu.Unlock()
}

// finishUp has what is gathered written, then the goodbye said, and takes no
// more. done is closed when that is over or the connection has failed.
func (o *out) finishUp() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.finish = true
	o.work.Broadcast()
	o.room.Broadcast()
}

// close ends the flusher once its write in progress returns, which the caller
// brings about by closing the connection.
func (o *out) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed = true
	o.work.Broadcast()
	o.room.Broadcast()
}

func (o *out) failure() error {
	if o.err != nil {
		return o.err
	}
	return errClosing
}

// open says whether frames are still taken.
func (o *out) open() bool { return !o.closed && !o.finish }
