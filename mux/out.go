package mux

import "sync"

// Bounds of what is gathered, in bytes.
const (
	// maxFrame bounds the body of one data frame, and so one stream's turn.
	maxFrame = 64 << 10
	// smallWrite: a write of up to this much may overtake bulk. It is the
	// smallest read buffer of internal/relay, which is what chatter fits.
	smallWrite = 4 << 10
	// urgentLimit is for a peer that does not read: small writes wait too.
	urgentLimit = 256 << 10
)

// batch is what goes to the connection in one piece.
type batch struct {
	bytes  []byte
	frames int // of streams in it
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
	room    sync.Cond // writers wait: below the bound, or closed, or a stream was cut; one who gets room wakes the next
	urgent  *batch    // nil when nothing is gathered: an idle session holds no buffer
	bulk    *batch
	turn    uint64 // of the bulk being gathered
	pace    pace   // of the path
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
		o.room.Signal() // its room is another's
		o.mu.Unlock()
		return err
	}
	b := o.queue(st, n)
	h := makeHeader(typeData, flags, st.id, uint32(n))
	b.bytes = append(append(append(b.bytes, h[:]...), prefix...), body...)
	b.frames++
	if o.bulk == nil || len(o.bulk.bytes) < o.quantum {
		o.room.Signal()
	}
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
	b.frames++
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

// wake lets writers that wait for room look at their stream again.
func (o *out) wake() {
	o.mu.Lock()
	o.room.Broadcast()
	o.mu.Unlock()
}

// open says whether frames are still taken.
func (o *out) open() bool { return !o.closed && !o.finish }
