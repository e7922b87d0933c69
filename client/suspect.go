package client

import (
	"context"
	"time"

	"go.uber.org/zap"
)

// A session may be dead long before its liveness says so: the path was away for a
// while, and the kernel repeats what was lost after ever longer pauses (RFC 6298
// §5.5), or our own address has changed. A consumer must not wait for that.
const (
	// suspectAfter is the silence after which a session that is to carry a new
	// stream is asked for a sign of life, and how long that may take.
	suspectAfter = time.Second
	// suspectPause is between attempts to get another session meanwhile.
	suspectPause = 250 * time.Millisecond
)

// suspect looks into a session that has been silent when a consumer wants it.
// It does not wait. If the provider does not answer, another session is made
// beside it, and takes its place if it is up before the old one is heard again:
// a path that carries two handshakes and not one answer has lost the old one. A
// slow path, where both wait, keeps it.
func (k *keeper) suspect(s *session) {
	if s.Silence() < suspectAfter || !k.suspicious.TryLock() {
		return
	}
	// A consumer may come while the keeper already waits for what it has begun.
	if !k.c.ports.begin() {
		k.suspicious.Unlock()
		return
	}
	go func() {
		defer k.c.ports.end()
		defer k.suspicious.Unlock()
		since := time.Now()
		ctx, cancel := context.WithTimeout(k.c.ctx, suspectAfter)
		defer cancel()
		if s.Probe(ctx) == nil || s.Err() != nil {
			return
		}
		k.c.log.Info("session is silent, trying another beside it", zap.Duration("silence", s.Silence()))
		k.replace(s, since)
	}()
}

// replace tries to get another session until the old one ends or is heard.
func (k *keeper) replace(s *session, since time.Time) {
	for k.c.ctx.Err() == nil && s.Err() == nil && s.Silence() >= time.Since(since) {
		made, err := k.attempt()
		if err == nil {
			if s.Silence() < time.Since(since) && s.Err() == nil {
				made.Close() // the old one lives
				return
			}
			made.beside = s.Session
			select {
			case k.standby <- made:
			default:
				made.Close()
			}
			if k.going.Err() != nil {
				k.closeStandby() // nobody takes it any more
			}
			return
		}
		select {
		case <-time.After(suspectPause):
		case <-s.Done():
		case <-k.c.ctx.Done():
		}
	}
}
