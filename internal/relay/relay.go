package relay

import (
	"io"
	"sync"
	"sync/atomic"
	"time"
)

// Options change how a relay works. The zero value is ready to use.
type Options struct {
	// HalfClosedIdle is how long one direction may be silent after the other
	// has finished; bytes start it anew. Then both ends are reset, at most an
	// eighth of it later. If zero, 24 h.
	HalfClosedIdle time.Duration

	// NameA and NameB name the ends in the reason that an end's Reset is given.
	// If empty, "a" and "b".
	NameA, NameB string
}

// Result says how a relay ended.
type Result struct {
	BytesAB int64  // bytes read from a and taken by b's kernel or carrier
	BytesBA int64  // the other way
	Reason  Reason // why it ended; its table is in the package comment
	Err     error  // nil after an orderly end
	Why     string // what Abort was given; empty unless Reason is Aborted
}

// Copy relays between a and b until both directions are done, and returns how
// that came about. It owns both ends: they are closed or reset when it returns.
func Copy(a, b End, o Options) Result {
	over := make(chan Result, 1)
	New(a, b, o).Start(func(res Result) { over <- res })
	return <-over
}

// side is an end's place in a relay.
type side uint8

const (
	sideA side = iota
	sideB
)

func (s side) other() side { return 1 - s }

// Relay is one two-way copy. Bytes and Abort may be called at any time, from any
// goroutine, and Start once.
type Relay struct {
	opts Options
	ends [2]End
	dirs [2]direction // by the side they read
	stop [2]func() bool
	over func(Result)
	left atomic.Int32 // directions that are not over

	ended atomic.Bool   // the reason is set; ends may be reset
	done  chan struct{} // closed with it
	once  sync.Once     // the end
	aux   sync.WaitGroup

	mu      sync.Mutex
	goneErr [2]error  // why an end is known to be gone
	first   side      // which sent FIN first
	idle    idleWatch // after that
	result  Result    // Reason and Err, set once
}

// direction copies from one end to the other.
type direction struct {
	r     *Relay
	from  side
	src   source
	bytes atomic.Int64
	eof   bool // the source sent FIN and all its bytes are written; r.mu guards it
}

// New makes a relay, which does nothing until Start.
func New(a, b End, o Options) *Relay {
	if o.HalfClosedIdle == 0 {
		o.HalfClosedIdle = 24 * time.Hour
	}
	if o.NameA == "" {
		o.NameA = "a"
	}
	if o.NameB == "" {
		o.NameB = "b"
	}
	r := &Relay{opts: o, ends: [2]End{a, b}, done: make(chan struct{})}
	r.dirs[sideA] = direction{r: r, from: sideA}
	r.dirs[sideB] = direction{r: r, from: sideB}
	return r
}

// Bytes gives how many bytes have gone from a to b and from b to a so far.
func (r *Relay) Bytes() (ab, ba int64) {
	return r.dirs[sideA].bytes.Load(), r.dirs[sideB].bytes.Load()
}

// Start begins to relay. When both directions are done over is called, by which
// time both ends are closed or reset. Start itself returns then or before: it
// works in the calling goroutine as long as that saves starting another. A
// direction in which nothing moves holds neither a buffer nor, where its end can
// be parked, a goroutine.
func (r *Relay) Start(over func(Result)) {
	r.over = over
	r.left.Store(int32(len(r.dirs)))
	for s := range r.ends {
		r.aux.Add(1)
		r.stop[s] = r.ends[s].AfterAbort(func(err error) {
			defer r.aux.Done()
			r.gone(side(s), err)
		})
	}
	first, second := &r.dirs[sideA], &r.dirs[sideB]
	for _, d := range []*direction{first, second} {
		d.src = newSource(r.ends[d.from], r.ends[d.from.other()], &d.bytes, d.run)
	}
	if _, parks := r.ends[sideB].(parker); parks {
		first, second = second, first
	}
	if _, parks := r.ends[first.from].(parker); !parks {
		go first.run()
	} else if err := first.src.wait(); err != errParked {
		go first.goOn(err)
	}
	second.run()
}

// directionOver ends the relay with its second direction.
func (r *Relay) directionOver() {
	if r.left.Add(-1) > 0 {
		return
	}
	r.closeBoth()
	for s := range r.ends {
		if r.stop[s]() {
			r.aux.Done()
		}
	}
	r.stopIdle()
	r.aux.Wait()
	r.result.BytesAB, r.result.BytesBA = r.Bytes()
	r.over(r.result)
}

// Abort resets both ends at once; the result's reason is then [Aborted]. The ends'
// Reset gets the reason, and the result's Why. It does nothing once the relay has
// ended.
func (r *Relay) Abort(reason string) {
	r.once.Do(func() {
		r.result.Why = reason
		r.finish(Aborted, ErrAborted)
		r.ends[sideA].Reset(reason)
		r.ends[sideB].Reset(reason)
	})
}

// run copies until the end of one direction and sees to what follows from it, or
// until the source is parked, which calls run again.
func (d *direction) run() { d.goOn(d.src.wait()) }

// goOn is run after the source has waited.
func (d *direction) goOn(err error) {
	to := d.r.ends[d.from.other()]
	for ; err == nil; err = d.src.wait() {
		n, failed := d.src.move(to)
		d.bytes.Add(n)
		if failed != nil {
			d.writeFailed(failed)
			d.r.directionOver()
			return
		}
	}
	switch err {
	case errParked:
		return
	case io.EOF:
		d.finished()
	default:
		d.r.broken(d.from, err)
	}
	d.r.directionOver()
}

// writeFailed sees to it that the source gets a reset, after what its peer may
// still have to say.
func (d *direction) writeFailed(err error) {
	r := d.r
	r.mu.Lock()
	goneErr := r.goneErr[d.from]
	r.mu.Unlock()
	if goneErr != nil {
		r.broken(d.from, goneErr) // both ends are gone
		return
	}
	r.gone(d.from.other(), err)
}

// finished passes a FIN on.
func (d *direction) finished() {
	r, to := d.r, d.from.other()
	r.mu.Lock()
	if err := r.goneErr[d.from]; err != nil {
		r.mu.Unlock()
		r.broken(d.from, err) // what looks like an end comes after an abort
		return
	}
	d.eof = true
	first := !r.dirs[to].eof
	if first {
		r.first = d.from
	}
	r.mu.Unlock()
	if r.ended.Load() {
		return // a reset of our own can look like an end to a reader
	}
	if _, tcp := r.ends[to].(*TCPEnd); tcp && !first {
		return // its Close, which is next, sends the FIN
	}
	if err := r.ends[to].CloseWrite(); err != nil {
		r.gone(to, err)
		return
	}
	if first {
		r.startIdle(&r.dirs[to])
	}
}

// progress grows while the destination takes bytes.
func (d *direction) progress() int64 {
	n := d.bytes.Load()
	if p, ok := d.r.ends[d.from.other()].(interface{ Progress() int64 }); ok {
		n += p.Progress()
	}
	return n
}
