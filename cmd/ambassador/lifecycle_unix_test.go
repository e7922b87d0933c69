//go:build unix

package main

import (
	"context"
	"errors"
	"io"
	"os"
	"syscall"
	"testing"
	"time"

	"ambassador/internal/live"

	"go.uber.org/zap"
)

const patience = 20 * time.Second

// SIGHUP ends a process that does not mind it. A service minds it from before its
// first line on: one that comes before it runs reloads when it does.
func TestHangupReloadsHoweverEarly(t *testing.T) {
	for when, early := range map[string]bool{"before-it-runs": true, "as-it-is-announced": false} {
		t.Run(when, func(t *testing.T) {
			steer, stop := newSteering(new(live.Table), io.Discard, zap.NewNop())
			defer stop()
			read := make(chan struct{}, 1)
			steer.read = func() error {
				read <- struct{}{}
				return nil
			}
			if early {
				hangUp(t)
			}
			running := make(chan struct{})
			closed := errors.New("closed")
			ended := make(chan error, 1)
			go func() {
				ended <- supervise(service{
					announce: func() {
						if !early {
							hangUp(t)
						}
					},
					run: func() error {
						<-running
						return closed
					},
					shutdown: func(context.Context) error {
						close(running)
						return nil
					},
					close: func() error { return nil }, closed: closed,
				}, steer, patience, zap.NewNop())
			}()
			select {
			case <-read:
			case <-time.After(patience):
				t.Error("not reloaded")
			}
			steer.drain()
			if err := <-ended; err != nil {
				t.Error(err)
			}
			if events, _ := steer.table.Events(0); len(events) != 1 || events[0].Kind != live.Drained {
				t.Errorf("events: %+v", events)
			}
		})
	}
}

func hangUp(t *testing.T) {
	t.Helper()
	if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
		t.Error(err)
	}
}

// A reload that somebody asked for says what was wrong, as SIGHUP's log does.
func TestReloadReturnsWhatWasWrong(t *testing.T) {
	steer, stop := newSteering(nil, io.Discard, zap.NewNop())
	defer stop()
	broken := errors.New("cert.pem is broken")
	steer.read = func() error { return broken }
	if err := ambassadorOf("client", nil, steer, nil).Reload(); !errors.Is(err, broken) {
		t.Errorf("%v", err)
	}
}
