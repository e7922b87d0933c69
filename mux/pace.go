package mux

import "time"

// Bulk takes what the path gives, and a small request passes it. Both come from
// how much bulk goes ahead of what comes next: in one batch, which nothing can
// overtake while it is written, and unsent in the socket below it.

// minQuantum and maxQuantum bound the bulk data of one batch, in bytes.
const (
	minQuantum = 16 << 10
	maxQuantum = wireBuffer
)

// A batch of bulk is to take batchTime to write: longer, and a small request waits
// too long behind it; shorter, and system calls are wasted.
const batchTime = time.Millisecond

// The path's pace is judged by paceBytes or paceTime of writing, whichever is full
// first. One batch says little: TCP takes several at once when an acknowledgement
// comes, and none until the next. Judged by single batches, a path of 200 Mbit/s
// was taken for a fast one in two runs of three.
const (
	paceBytes = 4 * maxQuantum
	paceTime  = 20 * time.Millisecond
)

// How much may wait unsent in the socket, in bytes, where no small request can
// overtake it. On a path that takes no more than slowQuantum in batchTime, little: PING
// beside two downloads on 200 Mbit/s took 42 ms with unsentFast and 19 ms with
// unsentSlow. On a fast path unsentSlow costs a tenth of the throughput.
const (
	unsentFast  = 2 * wireBuffer
	unsentSlow  = 32 << 10
	slowQuantum = 32 << 10
)

// pace is what has been written lately, and how long that took.
type pace struct {
	bytes int64
	spent time.Duration
}

// adapt makes batches of bulk as large as the path takes in batchTime, after one of
// n bytes was written.
func (o *out) adapt(n int, took time.Duration) {
	p := &o.pace
	p.bytes, p.spent = p.bytes+int64(n), p.spent+took
	if p.bytes < paceBytes && p.spent < paceTime {
		return
	}
	takes := p.bytes * int64(batchTime) / max(int64(p.spent), 1)
	p.bytes, p.spent = p.bytes/2, p.spent/2 // what is older counts for less
	o.quantum = int(min(max(takes, minQuantum), maxQuantum))
	if slow := o.quantum <= slowQuantum; slow != o.slow && (slow || o.quantum >= 2*slowQuantum) {
		o.slow = slow
		o.path(slow)
	}
}
