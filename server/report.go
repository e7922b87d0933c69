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

// repeats keeps one client that tries again and again, or one backend that is
// down, from filling the log.
type repeats struct {
	mu   sync.Mutex
	last map[string]time.Time
}

// warn logs an event as a warning once a minute, and at debug in between. What
// makes two events the same is the message and what.
func (r *repeats) warn(log *zap.Logger, msg, what string, fields ...zap.Field) {
	level := zap.WarnLevel
	if !r.fresh(msg + "\x00" + what) {
		level = zap.DebugLevel
	}
	log.Log(level, msg, fields...)
}

func (r *repeats) fresh(event string) bool {
	now := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	if last, ok := r.last[event]; ok && now.Sub(last) < repeatAfter {
		return false
	}
	if r.last == nil || len(r.last) >= maxRepeats {
		r.last = make(map[string]time.Time)
	}
	r.last[event] = now
	return true
}
