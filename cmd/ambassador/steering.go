package main

import (
	"io"
	"os"
	"os/signal"
	"sync"
	"sync/atomic"
	"syscall"

	"ambassador/internal/live"

	"go.uber.org/zap"
)

// steering is how a running service is told to reload or to drain: by signals and
// by the control socket, which come to the same.
type steering struct {
	table    *live.Table
	log      *zap.Logger
	hangups  chan os.Signal
	drains   alarm
	draining atomic.Bool
	progress *progress
	// reaching is what the service waits for before it can work; empty when it is
	// there. It may be nil.
	reaching func() string

	mu   sync.Mutex // one reload at a time
	read func() error
}

// newSteering minds SIGHUP from now on, so that one which comes early does not
// end the process: it is taken when the service runs. stop lets it go.
func newSteering(table *live.Table, stderr io.Writer, log *zap.Logger) (s *steering, stop func()) {
	s = &steering{table: table, log: log, hangups: make(chan os.Signal, 1), drains: newAlarm(), progress: newProgress(stderr)}
	signal.Notify(s.hangups, syscall.SIGHUP)
	return s, func() { signal.Stop(s.hangups) }
}

// follow reloads at each SIGHUP until stop.
func (s *steering) follow() (stop func()) {
	over := make(chan struct{})
	var following sync.WaitGroup
	following.Go(func() {
		for {
			select {
			case sig := <-s.hangups:
				_ = s.reload(zap.Stringer("signal", sig)) // whoever failed has said so in the log
			case <-over:
				return
			}
		}
	})
	return func() {
		close(over)
		following.Wait()
	}
}

// reload has files read again, and says what could not be taken over.
func (s *steering) reload(cause zap.Field) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.log.Info("reloading", cause)
	return s.read()
}

// drain begins what SIGTERM begins.
func (s *steering) drain() {
	s.begun()
	s.drains.ring()
}

// begun notes that the service drains.
func (s *steering) begun() {
	if s.draining.CompareAndSwap(false, true) {
		s.table.Event(live.Event{Kind: live.Drained, Text: "draining: no new connections"})
	}
}

// waiting is what a person at a terminal waits for.
func (s *steering) waiting() string {
	switch {
	case s.draining.Load():
		return "draining: " + plural(s.table.Streams(), "connection") + " left; Ctrl-C again ends them"
	case s.reaching != nil:
		return s.reaching()
	}
	return ""
}
