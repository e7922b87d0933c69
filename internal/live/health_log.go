package live

import (
	"time"

	"go.uber.org/zap"
)

// repeatAfter is how often the same change of a backend may be logged.
const repeatAfter = time.Minute

// backendLog writes a line when a backend stops answering, or answers again. A
// backend that flaps gets one line a minute for each way in which it fails, and its
// recovery from that: the last line is what holds, as soon as somebody dials after
// the minute.
type backendLog struct {
	log  *zap.Logger // nil for none
	told map[backendKey]*told
}

// told is what the log says of a backend.
type told struct {
	why  Reason // Running until there is a line
	last [Reasons]time.Time
}

// LogBackends has each change of a backend's state logged: a warning when it stops
// answering, or fails in another way, and a line at info when it answers again.
func (t *Table) LogBackends(log *zap.Logger) {
	if t == nil {
		return
	}
	t.lock()
	defer t.mu.Unlock()
	t.backendLog = backendLog{log: log, told: make(map[backendKey]*told)}
}

// line is what writes the line about what a dial showed, nil if there is none. The
// table's mu is held; it need not be for the line.
func (l *backendLog) line(k backendKey, why Reason, now time.Time) func() {
	if l.log == nil {
		return nil
	}
	is := l.told[k]
	if is == nil {
		is = new(told)
		l.told[k] = is
	}
	if why == is.why || why != Running && now.Sub(is.last[why]) < repeatAfter {
		return nil
	}
	is.why, is.last[why] = why, now
	log := l.log.With(zap.String("link", k.link), zap.Uint16("port", k.port))
	if why == Running {
		return func() { log.Info("backend answers again") }
	}
	return func() { log.Warn("backend does not answer", zap.Stringer("reason", why)) }
}
