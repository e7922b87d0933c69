package certs

import (
	"context"
	"errors"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"
)

// Who waits for a lock says so after a while, and stops when it is told to. What
// was asked for is not done then.
func TestWaitForALockEndsWithItsContext(t *testing.T) {
	if _, err := lockState(t.Context(), filepath.Join(t.TempDir(), "missing")); err == nil {
		t.Error("a lock where there is no directory")
	}
	ca := newCA(t, InitOptions{})
	cert := certOf(t, clientOf(t, ca, "web", "redis"))
	unlock, err := lockState(t.Context(), ca.Dir())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var told atomic.Int64
	began := time.Now()
	ctx = OnWait(ctx, func(path string) {
		if path != filepath.Join(ca.Dir(), lockName) {
			t.Errorf("waits for %s", path)
		}
		told.Add(1)
		time.AfterFunc(100*time.Millisecond, cancel) // time for a second word
	})
	if err := ca.With(ctx).Revoke("web"); !errors.Is(err, context.Canceled) {
		t.Errorf("ended with %v", err)
	}
	if d := time.Since(began); told.Load() != 1 || d < tellWaitAfter || d > tellWaitAfter+2*time.Second {
		t.Errorf("told %d times in %v", told.Load(), d)
	}
	if _, err := admits(ca, cert); err != nil {
		t.Error("revoked without the lock:", err)
	}
	time.AfterFunc(50*time.Millisecond, func() { _ = unlock() })
	if err := ca.Revoke("web"); err != nil {
		t.Error("after the wait:", err)
	}
}
