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
