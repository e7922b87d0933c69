package live

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

func TestCheckDialsWhatIsOldOnly(t *testing.T) {
	var table Table
	var dialled []Port
	c := NewChecker(&table, func(_ context.Context, p Port) error {
		dialled = append(dialled, p)
		return syscall.ECONNREFUSED
	})
	defer c.Close()
	table.Dialled("fresh", 1, Running, time.Now(), 0)
	table.Dialled("old", 1, Running, time.Now().Add(-time.Hour), 0)
	ports := []Port{{"fresh", 1}, {"old", 1}}
	if err := c.Check(t.Context(), ports, time.Minute); err != nil {
		t.Fatal(err)
	}
	if len(dialled) != 1 || dialled[0] != ports[1] {
		t.Errorf("dialled %v", dialled)
	}
	if h := table.Backend("old", 1); h.OK || h.Reason != BackendRefused || time.Since(h.At) > time.Minute {
		t.Errorf("%+v", h)
	}
	if err := c.Check(t.Context(), ports, time.Minute); err != nil || len(dialled) != 1 {
		t.Errorf("%v, dialled %v", err, dialled)
	}
}

func TestChecksAtOnceShareADial(t *testing.T) {
	var table Table
	var dials atomic.Int64
	begun, answer := make(chan struct{}), make(chan struct{})
	c := NewChecker(&table, func(context.Context, Port) error {
		if dials.Add(1) == 1 {
			close(begun)
		}
		<-answer
		return nil
	})
	defer c.Close()
	ports := []Port{{"redis", 1}}
	// One that leaves does not take the dial with it.
	ctx, leave := context.WithCancel(t.Context())
	left := make(chan error, 1)
	go func() { left <- c.Check(ctx, ports, 0) }()
	<-begun
	leave()
	if err := <-left; !errors.Is(err, context.Canceled) {
		t.Errorf("who left: %v", err)
	}
	var all sync.WaitGroup
	for range 10 {
		all.Go(func() {
			if err := c.Check(t.Context(), ports, time.Minute); err != nil {
				t.Error(err)
			}
		})
	}
	close(answer)
	all.Wait()
	if n := dials.Load(); n != 1 || !table.Backend("redis", 1).OK {
		t.Errorf("%d dials", n)
	}
}

func TestChecksAreBounded(t *testing.T) {
	var table Table
	var now, most atomic.Int64
	c := NewChecker(&table, func(context.Context, Port) error {
		n := now.Add(1)
		defer now.Add(-1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		time.Sleep(time.Millisecond)
		return nil
	})
	defer c.Close()
	var ports []Port
	for i := range uint16(200) {
		ports = append(ports, Port{"redis", i})
	}
	if err := c.Check(t.Context(), ports, time.Minute); err != nil {
		t.Fatal(err)
	}
	if m := most.Load(); m > checksAtOnce || m < 2 {
		t.Errorf("%d at once, want %d at most", m, checksAtOnce)
	}
	if n := len(table.Snapshot(false).Backends); n != 200 {
		t.Errorf("%d backends are known", n)
	}
}

func TestCloseEndsAChecksDial(t *testing.T) {
	var table Table
	begun := make(chan struct{})
	c := NewChecker(&table, func(ctx context.Context, _ Port) error {
		close(begun)
		<-ctx.Done()
		return ctx.Err()
	})
	checked := make(chan error, 1)
	go func() { checked <- c.Check(t.Context(), []Port{{"redis", 1}}, 0) }()
	<-begun
	c.Close()
	if err := <-checked; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if table.Backend("redis", 1).Known {
		t.Error("a dial that was cut off told something")
	}
	if err := c.Check(t.Context(), []Port{{"redis", 1}}, 0); !errors.Is(err, context.Canceled) {
		t.Errorf("after Close: %v", err)
	}
}
