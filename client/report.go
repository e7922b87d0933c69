package client

import (
	"errors"
	"sync"
	"time"

	"ambassador/internal/live"

	"go.uber.org/zap"
)

// repeatAfter is how often the same cause may be logged again.
const repeatAfter = time.Minute

// maxCauses bounds what is remembered of causes: error texts hold addresses.
const maxCauses = 1000

// causes keeps one cause from filling the log.
type causes struct {
	mu   sync.Mutex
	last map[string]time.Time
}

// warn logs an error as a warning once a minute, and at debug in between. The
// same error of another port or target is another cause.
func (c *causes) warn(log *zap.Logger, msg, where string, err error) {
	if c.fresh(where+"\x00"+err.Error()) && !errors.Is(err, ErrClosed) {
		log.Warn(msg, zap.Error(err))
		return
	}
	log.Debug(msg, zap.Error(err))
}

func (c *causes) fresh(cause string) bool {
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	if last, ok := c.last[cause]; ok && now.Sub(last) < repeatAfter {
		return false
	}
	if c.last == nil || len(c.last) >= maxCauses {
		c.last = make(map[string]time.Time)
	}
	c.last[cause] = now
	return true
}

// connected logs a new session, whatever was wrong before.
func (k *keeper) connected(s *session) {
	k.mu.Lock()
	k.trouble, k.told = "", new(causes)
	k.mu.Unlock()
	k.c.log.Info("connected to the provider", zap.String("provider", k.c.Provider), zap.Stringer("provider_addr", s.RemoteAddr()))
}

// lost logs the end of a session.
func (k *keeper) lost(err error) {
	if k.c.ctx.Err() != nil {
		return
	}
	k.c.seen.warn(k.c.log.With(zap.String("provider", k.c.Provider)), "session with the provider lost, connecting again", k.c.Provider, err)
}

// failed logs an attempt that failed: a line for a change of state, not for
// every attempt.
func (k *keeper) failed(err error) {
	if k.c.ctx.Err() != nil {
		return
	}
	why := k.c.Explain(err)
	k.mu.Lock()
	same, told := k.trouble == why, k.told
	k.trouble = why
	k.mu.Unlock()
	if !same && told.fresh(why) { // two causes may take turns
		k.c.Table.Event(live.Event{Kind: live.Notice, Problem: true, Text: "provider not reached: " + why})
		k.c.log.Warn("provider not reached, will keep trying", zap.String("provider", k.c.Provider), zap.String("reason", why))
	}
}
