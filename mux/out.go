package mux

import (
	"fmt"
	"runtime"
	"sync"
	"time"
)

// Bounds of what is gathered, in bytes.
const (
	// maxFrame bounds the body of one data frame, and so one stream's turn.
	maxFrame = 32 << 10
	// smallWrite: a write of up to this much may overtake bulk. It is the
	// smallest read buffer of internal/relay, which is what chatter fits.
	smallWrite = 4 << 10
	// minQuantum and maxQuantum bound the bulk data of one batch.
	minQuantum = 16 << 10
	maxQuantum = wireBuffer
	// urgentLimit is for a peer that does not read: small writes wait too.
	urgentLimit = 256 << 10
)

// A batch is to take this long to write: longer, and a small request waits too
// long behind it; shorter, and system calls are wasted.
const (
	quickBatch = 500 * time.Microsecond
	slowBatch  = 2 * time.Millisecond
)

// How much may wait unsent in the socket, in bytes, where no small request can
// overtake it. On a path that takes batches of slowQuantum only, little: PING
// beside two downloads on 200 Mbit/s took 42 ms with unsentFast and 19 ms with
// unsentSlow. On a fast path unsentSlow costs a tenth of the throughput.
const (
	unsentFast  = 2 * wireBuffer
	unsentSlow  = 32 << 10
	slowQuantum = 32 << 10
)

// errClosing is for writers of a session that this side is closing.
var errClosing = fmt.Errorf("%w: %w", ErrSessionLost, ErrClosed)

// batch is what goes to the connection in one piece.
type batch struct {
	bytes  []byte
	frames int // data frames in it
}

var batches = sync.Pool{New: func() any {
	return &batch{bytes: make([]byte, 0, maxQuantum+maxFrame+headerSize)}
}}

func (b *batch) free() {
	if b != nil {
		b.bytes, b.frames = b.bytes[:0], 0
		batches.Put(b)
	}
}

// out gathers frames into batches. While one batch is being encrypted and
// written, what comes next is the next batch: there is no timer. A frame's
// header and body, and many small frames, share a TLS record.
//
// There are two queues. Control frames and small writes are urgent and go
// first; bulk follows, as much of it as the path takes in about a millisecond.
// A small request thus waits for one batch at most.
//
// Whoever finds nobody writing writes its batch itself, which saves waking
// another goroutine; the flusher takes over when more has come meanwhile.
type out struct {
	send func(urgent, bulk []byte) error // writes one batch; one caller at a time
	bye  func()                          // says goodbye after the last batch
	path func(slow bool)                 // is told when the path becomes slow or fast

	mu      sync.Mutex
	work    sync.Cond // the flusher waits: handed over, or closed
	room    sync.Cond // writers wait: below the bound, or closed, or a stream was cut
	urgent  *batch    // nil when nothing is gathered: an idle session holds no buffer
	bulk    *batch
	turn    uint64 // of the bulk being gathered
	quantum int    // bytes of bulk in one batch
	slow    bool   // as path was told last
	writing bool   // somebody writes
	handed  bool   // the flusher is to go on
	busy    bool   // the last batch was of several frames: more will come
	finish  bool   // write what is gathered, take no more
	closed  bool
	err     error
	done    chan struct{} // closed when the flusher has ended
}

func newOut(send func(urgent, bulk []byte) error, bye func(), path func(slow bool)) *out {
	o := &out{send: send, bye: bye, path: path, quantum: maxQuantum, done: make(chan struct{})}
	o.work.L, o.room.L = &o.mu, &o.mu
	return o
}

// data gathers one data frame made of two parts. It waits for room while the
// stream is open, and fails once it is cut.
func (o *out) data(st *Stream, flags uint16, prefix, body []byte) error {
	n := len(prefix) + len(body)
	o.mu.Lock()
	for o.full(st, n) && o.open() && !st.cut() {
		o.room.Wait()
	}
	if !o.open() {
		defer o.mu.Unlock()
		return o.failure()
	}
	if err := st.cutError(); err != nil {
		o.mu.Unlock()
		return err
	}
	b := o.queue(st, n)
	h := makeHeader(typeData, flags, st.id, uint32(n))
	b.bytes = append(append(append(b.bytes, h[:]...), prefix...), body...)
	b.frames++
	return o.push()
}

// full says whether a data frame has to wait.
func (o *out) full(st *Stream, n int) bool {
	if o.isUrgent(st, n) {
		return o.urgent != nil && len(o.urgent.bytes) >= urgentLimit
	}
	return o.bulk != nil && len(o.bulk.bytes) >= o.quantum
}

// isUrgent says whether a stream's frame of n bytes may go before bulk: a small
// one, unless it would overtake its own stream.
func (o *out) isUrgent(st *Stream, n int) bool {
	return n <= smallWrite && !o.behindBulk(st)
}

func (o *out) behindBulk(st *Stream) bool { return o.bulk != nil && st.bulkTurn == o.turn }

func (o *out) queue(st *Stream, n int) *batch {
	if o.isUrgent(st, n) {
		return fresh(&o.urgent)
	}
	st.bulkTurn = o.turn
	return fresh(&o.bulk)
}

func fresh(b **batch) *batch {
	if *b == nil {
		*b = batches.Get().(*batch)
	}
	return *b
}

// control gathers a frame of the session or, behind its data, of a stream (st
// may be nil). It neither waits nor writes, so that the reader goroutine may
// call it: two sessions whose readers wait for each other's would be stuck.
func (o *out) control(st *Stream, h frameHeader) error { return o.gather(st, h, o.hand) }

// controlNow is control for a goroutine that may be kept: it writes the frame
// itself if nobody else is writing.
func (o *out) controlNow(st *Stream, h frameHeader) error { return o.gather(st, h, o.push) }

func (o *out) gather(st *Stream, h frameHeader, then func() error) error {
	o.mu.Lock()
	if !o.open() {
		defer o.mu.Unlock()
		return o.failure()
	}
	q := &o.urgent
	if st != nil && o.behindBulk(st) {
		q = &o.bulk
	}
	b := fresh(q)
	b.bytes = append(b.bytes, h[:]...)
	return then()
}

// offer is control for a frame that may be left out when the peer does not
// read: one who has this much to read needs no answer to know that we live. It
// says whether the frame was taken.
func (o *out) offer(h frameHeader) (taken bool) {
	o.mu.Lock()
	if !o.open() || o.urgent != nil && len(o.urgent.bytes) >= urgentLimit {
		o.mu.Unlock()
		return false
	}
	b := fresh(&o.urgent)
	b.bytes = append(b.bytes, h[:]...)
	_ = o.hand() // always nil
	return true
}

// alive says whether frames are still taken.
func (o *out) alive() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.open()
}

// hand leaves what was gathered to the flusher. mu is held, and released.
func (o *out) hand() error {
	if !o.writing {
		o.writing, o.handed = true, true
		o.work.Signal()
	}
	o.mu.Unlock()
	return nil
}

// push sees to it that what was gathered is written. mu is held, and released.
func (o *out) push() error {
	if o.writing {
		o.mu.Unlock()
		return nil
	}
	o.writing = true
	if o.busy {
		// Others are about to add theirs: let them, for one system call in all.
		o.mu.Unlock()
		runtime.Gosched()
		o.mu.Lock()
	}
	err := o.write()
	if err == nil && o.gathered() {
		o.handed = true
		o.work.Signal()
	} else {
		o.writing = false
		if o.finish {
			o.work.Signal()
		}
	}
	o.mu.Unlock()
	return err
}

func (o *out) gathered() bool { return o.urgent != nil || o.bulk != nil }

// write sends one batch. mu is held, and released meanwhile; writing is set.
func (o *out) write() error {
	if o.closed {
		return o.failure()
	}
	urgent, bulk := o.urgent, o.bulk
	o.urgent, o.bulk = nil, nil
	o.turn++
	o.mu.Unlock()

	var u, k []byte
	frames := 0
	if urgent != nil {
		u, frames = urgent.bytes, urgent.frames
	}
	if bulk != nil {
		k, frames = bulk.bytes, frames+bulk.frames
	}
	began := time.Now()
	err := o.send(u, k)
	took := time.Since(began)
	wasBulk := bulk != nil
	urgent.free()
	bulk.free()

	o.mu.Lock()
	o.busy = frames > 1
	if wasBulk {
		o.adapt(took)
	}
	o.room.Broadcast()
	if err != nil {
		if !o.closed {
			o.err, o.closed = err, true
			o.work.Broadcast()
		}
		return o.failure()
	}
	return nil
}

// adapt makes batches of bulk as large as the path takes quickly.
func (o *out) adapt(took time.Duration) {
	switch {
	case took > slowBatch:
		o.quantum = max(o.quantum/2, minQuantum)
	case took < quickBatch:
		o.quantum = min(o.quantum*2, maxQuantum)
	}
	if slow := o.quantum <= slowQuantum; slow != o.slow && (slow || o.quantum == maxQuantum) {
		o.slow = slow
		o.path(slow)
	}
}

// flush is the body of the flusher goroutine. It ends when the connection fails
// or out is closed, and returns the error of the connection.
func (o *out) flush() error {
	defer close(o.done)
	o.mu.Lock()
	defer o.mu.Unlock()
	for {
		for !o.handed && !o.closed && !(o.finish && !o.writing) {
			o.work.Wait()
		}
		o.handed, o.writing = false, true
		for o.gathered() && !o.closed {
			if o.busy && o.bulk == nil {
				o.mu.Unlock()
				runtime.Gosched()
				o.mu.Lock()
			}
			if err := o.write(); err != nil {
				return o.err
			}
		}
		o.writing = false
		if o.closed {
			return o.err
		}
		if o.finish {
			o.closed = true
			o.mu.Unlock()
			o.bye()
			o.mu.Lock()
			return nil
		}
	}
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

// open says whether frames are still taken.
func (o *out) open() bool { return !o.closed && !o.finish }

func (o *out) failure() error {
	if o.err != nil {
		return fmt.Errorf("%w: %w", ErrSessionLost, o.err)
	}
	return errClosing
}
