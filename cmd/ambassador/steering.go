package main

import (
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

	mu   sync.Mutex // one reload at a time
	read func() error
}

// newSteering minds SIGHUP from now on, so that one which comes early does not
// end the process: it is taken when the service runs. stop lets it go.
func newSteering(table *live.Table, log *zap.Logger) (s *steering, stop func()) {
	s = &steering{table: table, log: log, hangups: make(chan os.Signal, 1), drains: newAlarm()}
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
func (s *steering) drain() { s.drains.ring() }

func (s *steering) tellDrain() {
	s.table.Event(live.Event{Kind: live.Drained, Text: "draining: no new connections"})
}
