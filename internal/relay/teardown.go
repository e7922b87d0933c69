package relay

import (
	"errors"
	"fmt"
	"syscall"
	"time"
)

// How a relay ends. Whoever comes first decides: closeBoth after two FINs,
// broken when an end has aborted, the idle watch, or Abort. Each of them runs
// in r.once, and one that comes later waits until the first has let go of both
// ends.

const (
	// stallLimit is how long one end may take nothing, once the other was lost,
	// before what is left for it is given up: the reset is due in 1 s.
	stallLimit = 800 * time.Millisecond
	// replyStallLimit is the same once the other has sent a reset of its own: what
	// came before is its complete word, and a reader that reads in bursts may
	// leave its window shut for seconds. With 0.8 s, 3 of 7 transfers of 1 MiB to
	// a reader of 128 KiB every 0.5 s lost their end; over a direct connection
	// none did.
	replyStallLimit = 3 * time.Second
	// stallTick is how often that is looked at.
	stallTick = 50 * time.Millisecond
)

// finish sets why the relay ended. Called in r.once, before an end is touched:
// from here on nothing that the ends do is passed on.
func (r *Relay) finish(reason Reason, err error) {
	r.ended.Store(true)
	r.result.Reason, r.result.Err = reason, err
	close(r.done)
}

func (r *Relay) closeBoth() {
	r.once.Do(func() {
		r.finish(closedFirst(r.first), nil)
		_ = r.ends[sideA].Close() // both have sent and received FIN: nothing is left to fail
		_ = r.ends[sideB].Close()
	})
}

// gone is called when end s was found gone by other means than reading it: by
// AfterAbort, or by a failed write. What it sent before is still to be
// delivered: every byte, then the reset. So this waits for its reader to come
// to the end by itself, as long as it gets on.
func (r *Relay) gone(s side, err error) {
	d := &r.dirs[s]
	r.mu.Lock()
	first, eof := r.goneErr[s] == nil, d.eof
	if first {
		r.goneErr[s] = err
	}
	r.mu.Unlock()
	switch {
	case eof:
		r.broken(s, err) // nothing more is read from it
	case first:
		r.awaitDelivery(d, err)
	}
}

func (r *Relay) awaitDelivery(d *direction, err error) {
	tick := time.NewTicker(stallTick)
	defer tick.Stop()
	seen, since := d.progress(), time.Now()
	for {
		select {
		case <-r.done:
			return
		case <-tick.C:
		}
		if now := d.progress(); now != seen {
			seen, since = now, time.Now()
		} else if time.Since(since) >= stallAfter(err) {
			r.reset(d.from, err, false)
			return
		}
	}
}

// stallAfter is how long to go on delivering to an end that takes nothing.
func stallAfter(err error) time.Duration {
	if isPeerReset(err) {
		return replyStallLimit
	}
	return stallLimit
}

// isPeerReset tells a peer's own reset from a loss. An end that knows says so
// (see End); for a socket it is the kernel's error.
func isPeerReset(err error) bool {
	var end interface{ PeerReset() bool }
	if errors.As(err, &end) {
		return end.PeerReset()
	}
	return errors.Is(err, ErrPeerAborted) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// broken ends the relay because end s aborted, when all that came from it has
// been written.
func (r *Relay) broken(s side, err error) { r.reset(s, err, true) }

// reset resets both ends because s aborted. With drain, the other end gets what
// waits in its send queue first.
func (r *Relay) reset(s side, err error, drain bool) {
	r.once.Do(func() {
		r.ended.Store(true) // before cause takes the error from a reader
		to := s.other()
		err = r.cause(s, err)
		reason := brokenBy(s, err)
		r.finish(reason, fmt.Errorf("%s: %w", [2]string{r.opts.NameA, r.opts.NameB}[s], err))
		text := reason.Name(r.opts.NameA, r.opts.NameB)
		r.ends[s].Reset(text)
		if tcp, ok := r.ends[to].(*TCPEnd); ok && drain {
			tcp.drain(stallAfter(err))
		}
		r.ends[to].Reset(text)
	})
}

// cause gives the most telling of the errors known of end s: the kernel tells
// each only once, to a reader or to a writer, and EPIPE to the next.
func (r *Relay) cause(s side, err error) error {
	r.mu.Lock()
	known := []error{r.goneErr[s], err}
	r.mu.Unlock()
	if tcp, ok := r.ends[s].(*TCPEnd); ok {
		known = append(known, tcp.cause())
	}
	for _, k := range known {
		if k != nil && k != ErrPeerAborted && !errors.Is(k, syscall.EPIPE) {
			return k
		}
	}
	return err
}

// idleWatch resets a relay of which one direction is finished and the other
// silent. It is one timer that looks at the counts, not a deadline per read.
type idleWatch struct {
	timer *time.Timer
	dir   *direction
	seen  int64
	quiet int // looks in a row without progress
}

// idleLooks is how many times in HalfClosedIdle the counts are looked at.
const idleLooks = 8

func (r *Relay) startIdle(d *direction) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.aux.Add(1)
	r.idle.dir, r.idle.seen = d, -1 // its first look finds out, and a short reply needs none
	r.idle.timer = time.AfterFunc(r.idleTick(), r.checkIdle)
}

func (r *Relay) idleTick() time.Duration {
	return max(r.opts.HalfClosedIdle/idleLooks, time.Millisecond)
}

func (r *Relay) checkIdle() {
	r.mu.Lock()
	w := &r.idle
	if now := w.dir.progress(); now != w.seen {
		w.seen, w.quiet = now, 0
	} else {
		w.quiet++
	}
	if w.quiet < idleLooks && !r.ended.Load() {
		w.timer.Reset(r.idleTick())
		r.mu.Unlock()
		return
	}
	r.mu.Unlock()
	defer r.aux.Done()
	r.once.Do(func() {
		r.finish(IdleHalfClosed, ErrIdle)
		r.ends[sideA].Reset(IdleHalfClosed.String())
		r.ends[sideB].Reset(IdleHalfClosed.String())
	})
}

func (r *Relay) stopIdle() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.idle.timer != nil && r.idle.timer.Stop() {
		r.aux.Done()
	}
}
