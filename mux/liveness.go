package mux

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// liveness ends a session whose peer has gone silent. Any received byte counts:
// yamux's own keepalive waits behind bulk data in the send queue and takes a
// loaded slow link for a dead one. It costs one timer a session and no
// goroutine.
type liveness struct {
	s         *Session
	pingAfter time.Duration
	deadAfter time.Duration
	epoch     time.Time
	last      atomic.Int64 // when a byte was last received: nanoseconds since epoch

	mu      sync.Mutex
	timer   *time.Timer
	stopped bool
	pingID  uint32
}

func newLiveness(s *Session, pingAfter, deadAfter time.Duration) *liveness {
	return &liveness{s: s, pingAfter: pingAfter, deadAfter: deadAfter, epoch: time.Now()}
}

func (l *liveness) heard() { l.last.Store(int64(time.Since(l.epoch))) }

func (l *liveness) start() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.stopped {
		l.timer = time.AfterFunc(l.pingAfter, l.check)
	}
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
	silent := time.Since(l.epoch) - time.Duration(l.last.Load())
	switch {
	case silent >= l.deadAfter:
		l.stopped = true
		go l.s.fail(fmt.Errorf("%w: nothing heard for %v", ErrSilent, silent.Round(time.Millisecond)))
	case silent >= l.pingAfter:
		// yamux at the other end answers; its answer to an id that our yamux
		// does not know is ignored there but counts as a byte here.
		l.pingID++
		l.s.out.inject(makeHeader(typePing, flagSYN, 0, l.pingID))
		l.timer.Reset(min(l.deadAfter-silent, l.pingAfter))
	default:
		l.timer.Reset(l.pingAfter - silent)
	}
}
