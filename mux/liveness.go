package mux

import (
	"context"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"time"
)

// liveness ends a session whose peer has gone silent, and measures the round
// trip. Any received byte counts as a sign of life: a ping alone would wait
// behind bulk data, and a loaded slow link would look dead. It costs one timer
// a session and no goroutine.
type liveness struct {
	s         *Session
	pingAfter time.Duration
	deadAfter time.Duration
	epoch     time.Time
	last      atomic.Int64 // when a byte was last received: nanoseconds since epoch
	probe     atomic.Pointer[probe]
	rtt       atomic.Int64 // the shortest round trip, in nanoseconds
	latest    atomic.Int64 // the last one
	measured  atomic.Int64 // when: nanoseconds since epoch

	mu      sync.Mutex
	timer   *time.Timer
	stopped bool
	pingID  uint32
	pinged  time.Time // when pingID was sent
}

// firstPings are sent one after the other when the session is new: the first
// measures the handshake's aftermath rather than the path.
const firstPings = 3

func newLiveness(s *Session, pingAfter, deadAfter time.Duration) *liveness {
	l := &liveness{s: s, pingAfter: pingAfter, deadAfter: deadAfter, epoch: time.Now()}
	l.rtt.Store(math.MaxInt64)
	return l
}

// now is in nanoseconds since the session's epoch.
func (l *liveness) now() int64 { return int64(time.Since(l.epoch)) }

func (l *liveness) heard() {
	l.last.Store(l.now())
	if p := l.probe.Load(); p != nil {
		p.once.Do(func() { close(p.heard) })
	}
}

// probe waits for one byte.
type probe struct {
	once  sync.Once
	heard chan struct{}
}

// Silence is for how long nothing was received.
func (s *Session) Silence() time.Duration { return s.life.silence() }

func (l *liveness) silence() time.Duration {
	return time.Duration(l.now() - l.last.Load())
}

// Probe asks the peer for a sign of life and waits for any: nil when a byte is
// received, else the session's end or ctx's error. One at a time.
func (s *Session) Probe(ctx context.Context) error {
	p := &probe{heard: make(chan struct{})}
	s.life.probe.Store(p)
	defer s.life.probe.Store(nil)
	s.life.mu.Lock()
	s.life.pingLocked()
	s.life.mu.Unlock()
	select {
	case <-p.heard:
		return nil
	case <-s.done:
		return s.lost()
	case <-ctx.Done():
		return ctx.Err()
	}
}

// ResetUnheard resets the streams that were opened after the last byte was
// received: nothing says that the peer knows of them. It returns their number.
func (s *Session) ResetUnheard(reason string) int {
	last := s.life.last.Load()
	var unheard []*Stream
	s.mu.Lock()
	for _, st := range s.streams {
		if st.opened > last {
			unheard = append(unheard, st)
		}
	}
	s.mu.Unlock()
	for _, st := range unheard {
		st.sendReset(resetCode("session-lost"))
		st.abort(fmt.Errorf("%w: %s", ErrSessionLost, reason))
	}
	return len(unheard)
}

// roundTrip is the shortest that was seen, zero before any was.
func (l *liveness) roundTrip() time.Duration {
	if rtt := l.rtt.Load(); rtt != math.MaxInt64 {
		return time.Duration(rtt)
	}
	return 0
}

// measureAfter is the age at which a round trip is measured anew when somebody
// asks for it. A session that is never silent sends no ping of its own accord, and
// one that nobody asks about needs none.
const measureAfter = time.Minute

// RTT is the last round trip that was measured, 0 before any was. One that is
// older than a minute is measured again meanwhile. It does not wait.
func (s *Session) RTT() time.Duration {
	l := s.life
	if l.now()-l.measured.Load() > int64(measureAfter) {
		l.mu.Lock()
		if !l.stopped && time.Since(l.pinged) > measureAfter {
			l.pingLocked()
		}
		l.mu.Unlock()
	}
	return time.Duration(l.latest.Load())
}

func (l *liveness) start() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.stopped {
		l.timer = time.AfterFunc(l.pingAfter, l.check)
	}
	l.pingLocked()
}

func (l *liveness) stop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stopped = true
	if l.timer != nil {
		l.timer.Stop()
	}
}

func (l *liveness) check() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stopped {
		return
	}
	silent := l.silence()
	switch {
	case silent >= l.deadAfter:
		l.stopped = true
		go l.s.fail(fmt.Errorf("%w: nothing heard for %v", ErrSilent, silent.Round(time.Millisecond)))
	case silent >= l.pingAfter:
		l.pingLocked()
		l.timer.Reset(min(l.deadAfter-silent, l.pingAfter))
	default:
		l.timer.Reset(l.pingAfter - silent)
	}
}

func (l *liveness) pingLocked() {
	l.pingID++
	l.pinged = time.Now()
	l.s.out.offer(makeHeader(typePing, flagSYN, 0, l.pingID))
}

// received answers a ping, or takes the answer to ours.
func (l *liveness) received(h *frameHeader) {
	if h.flags()&flagSYN != 0 {
		l.s.out.offer(makeHeader(typePing, flagACK, 0, h.length()))
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if h.length() != l.pingID {
		return
	}
	rtt := int64(time.Since(l.pinged))
	l.latest.Store(rtt)
	l.measured.Store(l.now())
	if rtt < l.rtt.Load() {
		l.rtt.Store(rtt)
	}
	if l.pingID < firstPings {
		l.pingLocked()
	}
}
