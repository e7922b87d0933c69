package server

import (
	"sync"

	"ambassador/mux"
)

// maxArrivals bounds the goroutines of one session that have a stream of which it is
// not known yet what it wants.
//
// A client that opens streams and resets them at once makes a hundred thousand of
// them a second. With a goroutine for each, up to the number of streams that it may
// have, every other client's work stood in the scheduler's queue behind them.
const maxArrivals = 32

// arrivals are a session's streams that have just come.
type arrivals struct {
	mu      sync.Mutex
	busy    int           // goroutines
	waiting []*mux.Stream // in the order of coming
}

// arrive takes a new stream: in a goroutine of its own, or when one comes free.
func (ss *session) arrive(st *mux.Stream) {
	a := &ss.arrivals
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.busy == maxArrivals {
		a.waiting = append(a.waiting, st)
		return
	}
	a.busy++
	go ss.serveStream(st)
}

// arrived is called when it is known what a stream wants, and its goroutine is none
// of those any more. The next one begins, unless it has been cut by now: that costs
// no goroutine.
func (ss *session) arrived() {
	for {
		st := ss.arrivals.next()
		if st == nil {
			return
		}
		if st.Aborted() == nil {
			go ss.serveStream(st)
			return
		}
		st.Reset("cut before it was served")
		ss.done()
	}
}

// next is the stream to begin with; nil leaves one goroutine less.
func (a *arrivals) next() *mux.Stream {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.waiting) == 0 {
		a.waiting = nil
		a.busy--
		return nil
	}
	st := a.waiting[0]
	a.waiting[0] = nil
	a.waiting = a.waiting[1:]
	return st
}
