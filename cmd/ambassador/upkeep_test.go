package main

import (
	"errors"
	"testing"

	"ambassador/certs"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

// A failure that lasts is told again: neither each second nor once for ever.
func TestGrantsThatCannotBeReadAreToldAgain(t *testing.T) {
	core, logs := observer.New(zap.ErrorLevel)
	u := &grantsUpkeep{
		watch: certs.NewWatch(t.TempDir()), log: zap.New(core),
		reauthorize: func() error { return errors.New("too many open files") },
	}
	for range 3 {
		u.look()
	}
	if logs.Len() != 1 {
		t.Errorf("%d lines at first, want 1", logs.Len())
	}
	u.toldAt = u.toldAt.Add(-tellGrantsEvery)
	u.look()
	if logs.Len() != 2 {
		t.Errorf("%d lines after a minute, want 2", logs.Len())
	}
	u.reauthorize = func() error { return nil }
	u.look()
	u.reauthorize = func() error { return errors.New("too many open files") }
	u.apply()
	if logs.Len() != 3 {
		t.Errorf("%d lines of a failure that came back, want 3", logs.Len())
	}
}
