package server

import (
	"sync"
	"time"

	"go.uber.org/zap"
)

// repeatAfter is how often the same event may be logged as a warning.
const repeatAfter = time.Minute

// maxRepeats bounds what is remembered of events: their texts hold addresses.
const maxRepeats = 1000

// maxEvents is how many different events of one peer may be warnings in
// repeatAfter: a peer that may make them up decides on their number.
const maxEvents = 20

// repeats keeps one client that tries again and again, or one backend that is
// down, from filling the log.
type repeats struct {
	mu    sync.Mutex
	last  map[event]time.Time
	count map[string]int // of last, by peer
	swept time.Time      // when forget was last called
}

// event is what is not to be repeated.
type event struct{ peer, msg, what string }

// warn logs an event of a peer, which is empty for the server itself, as a warning
// once a minute, and at debug in between. What makes two events the same is the
// message and what.
func (r *repeats) warn(log *zap.Logger, peer, msg, what string, fields ...zap.Field) {
	fresh, last := r.fresh(event{peer, msg, what}, time.Now())
	level := zap.DebugLevel
	if fresh {
		level = zap.WarnLevel
	}
	log.Log(level, msg, fields...)
	if last {
		log.Warn("too many different warnings about this client, the next are at debug level", zap.Duration("for", repeatAfter))
	}
}

// fresh says whether an event is worth a warning, and whether that was the last
// one that its peer gets for now.
func (r *repeats) fresh(e event, now time.Time) (fresh, last bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if before, ok := r.last[e]; ok && now.Sub(before) < repeatAfter {
		return false, false
	}
	full := e.peer != "" && r.count[e.peer] >= maxEvents
	if r.last == nil || (full || len(r.last) >= maxRepeats) && now.Sub(r.swept) >= time.Second {
		r.forget(now)
		full = e.peer != "" && r.count[e.peer] >= maxEvents
	}
	if full {
		return false, false
	}
	if len(r.last) >= maxRepeats {
		r.last, r.count = make(map[event]time.Time), make(map[string]int)
	}
	if _, again := r.last[e]; !again {
		r.count[e.peer]++
	}
	r.last[e] = now
	return true, r.count[e.peer] == maxEvents && e.peer != ""
}

// forget drops what is old enough to be a warning again. mu is held.
func (r *repeats) forget(now time.Time) {
	last, count := make(map[event]time.Time), make(map[string]int)
	for e, when := range r.last {
		if now.Sub(when) < repeatAfter {
			last[e] = when
			count[e.peer]++
		}
	}
	r.last, r.count, r.swept = last, count, now
}
