package client

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// bubble runs f with a faked clock and a context that ends with it.
func bubble(t *testing.T, f func(t *testing.T, ctx context.Context)) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		f(t, ctx)
	})
}

func took(f func()) time.Duration {
	began := time.Now()
	f()
	return time.Since(began)
}

func TestPausesHaveFullJitter(t *testing.T) {
	bubble(t, func(t *testing.T, ctx context.Context) {
		const runs = 300
		for attempt, longest := range []time.Duration{100, 200, 400, 800, 1600, 3200, 6400, 12800, 25600, 30000, 30000} {
			longest *= time.Millisecond
			low, high := longest, time.Duration(0)
			for range runs {
				p := newPace()
				for range attempt {
					p.pauses.NextBackOff()
				}
				d := took(func() { p.pause(ctx) })
				low, high = min(low, d), max(high, d)
			}
			if high > longest || high < longest*9/10 || low > longest/10 {
				t.Errorf("pause %d is between %v and %v, want anything up to %v", attempt, low, high, longest)
			}
		}
	})
}

func TestSessionStartsThePausesAnew(t *testing.T) {
	for lived, longest := range map[time.Duration]time.Duration{goodSession: firstPause, goodSession - 1: 800 * time.Millisecond} {
		var high time.Duration
		for range 300 {
			p := newPace()
			for range 20 {
				p.pauses.NextBackOff()
			}
			p.ended(lived)
			high = max(high, p.pauses.NextBackOff())
		}
		if high > longest || high < longest*9/10 {
			t.Errorf("after a session of %v the pause is up to %v, want %v", lived, high, longest)
		}
	}
}

func TestWaitingConsumerHurriesEveryAttempt(t *testing.T) {
	bubble(t, func(t *testing.T, ctx context.Context) {
		p := newPace()
		for range 20 {
			p.pauses.NextBackOff()
		}
		done := p.wait()
		for i := range 10 {
			if d := took(func() { p.pause(ctx) }); d > eagerPause {
				t.Errorf("pause %d took %v, want %v at most while a consumer waits", i, d, eagerPause)
			}
		}
		done()
		var sum time.Duration
		for range 50 {
			sum += took(func() { p.pause(ctx) })
		}
		if sum < 50*eagerPause*10 {
			t.Errorf("50 pauses took %v when nobody waits any more", sum)
		}
	})
}

func TestConsumerThatComesInAPauseEndsIt(t *testing.T) {
	bubble(t, func(t *testing.T, ctx context.Context) {
		p := newPace()
		p.pauses.InitialInterval, p.pauses.RandomizationFactor = longestPause, 0
		p.pauses.Reset()
		p.wait()() // came and left: no reason to hurry
		time.AfterFunc(10*time.Second, func() { p.wait() })
		if d := took(func() { p.pause(ctx) }); d != 10*time.Second {
			t.Fatalf("paused for %v, want 10s", d)
		}
	})
}

func TestPauseEndsWithTheClient(t *testing.T) {
	for name, waits := range map[string]bool{"nobody waits": false, "a consumer waits": true} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, ctx context.Context) {
				p := newPace()
				if waits {
					p.wait()
				}
				ctx, cancel := context.WithCancel(ctx)
				cancel()
				if p.pause(ctx) {
					t.Fatal("there is no next attempt")
				}
			})
		})
	}
}

// The whole loop, with attempts that fail: no session, no yamux.
func TestKeeperTriesUntilItIsClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &Client{}
		c.init()
		var attempts atomic.Int64
		refused := errors.New("refused")
		c.keeper.attempt = func() (*session, error) {
			attempts.Add(1)
			return nil, refused
		}
		kept := make(chan error, 1)
		go func() { kept <- c.keeper.keep() }()
		<-time.After(10 * time.Minute)
		before := attempts.Load()
		if before < 30 || before > 120 { // every 15 s on average in the long run
			t.Errorf("%d attempts in 10 minutes", before)
		}
		// A consumer hurries them, and learns in the end why there is no session.
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		_, err := c.Session(ctx)
		cancel()
		if !errors.Is(err, ErrNoSession) || attempts.Load()-before < 10 {
			t.Errorf("%v after %d attempts, want ErrNoSession after some 12", err, attempts.Load()-before)
		}
		c.cancel()
		if err := <-kept; !errors.Is(err, ErrClosed) {
			t.Error(err)
		}
	})
}

func TestBudgetThatGoesToTheProvider(t *testing.T) {
	for _, c := range []struct{ hold, spent, want time.Duration }{
		{3 * time.Second, time.Second, 2 * time.Second},
		{3 * time.Second, 3*time.Second - time.Microsecond, leastBudget},
		{3 * time.Second, 4 * time.Second, leastBudget},
		{time.Microsecond, 0, leastBudget},
		{-1, 0, 0},
	} {
		if got := budgetLeft(c.hold, c.spent); got != c.want {
			t.Errorf("of %v, %v after %v; want %v", c.hold, got, c.spent, c.want)
		}
	}
}
