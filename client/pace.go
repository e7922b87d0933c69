package client

import (
	"context"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
)

// Full jitter between attempts: a random pause of up to 0.1 s, then of up to
// twice as much each time, to 30 s. A provider's restart is then not followed by
// all of its clients at once. The library draws from interval·(1±factor), so
// that its interval is half of the longest pause.
const (
	firstPause   = 100 * time.Millisecond
	longestPause = 30 * time.Second
	// goodSession is how long a session must have lived for its loss to be
	// answered with the first pause again.
	goodSession = 30 * time.Second
	// shortSteps is how many pauses are skipped after one that lived shorter: the
	// next pause is then of up to 0.8 s. The provider is there, so the pauses need
	// not grow; one that ends every session at once hears of each client about
	// twice a second.
	shortSteps = 3
	// As long as a consumer waits, attempts follow each other after this, or
	// after a pause that happens to be shorter.
	eagerPause = 250 * time.Millisecond
)

// pace says when to try again to get a session. pause and ended are for one
// goroutine, wait is for any.
type pace struct {
	pauses backoff.ExponentialBackOff

	mu      sync.Mutex
	waiting int           // consumers
	wanted  chan struct{} // one more of them waits
}

func newPace() *pace {
	p := &pace{
		pauses: backoff.ExponentialBackOff{InitialInterval: firstPause / 2, MaxInterval: longestPause / 2, Multiplier: 2, RandomizationFactor: 1},
		wanted: make(chan struct{}, 1),
	}
	p.pauses.Reset()
	return p
}

// wait counts a consumer that waits for a session, until done is called.
func (p *pace) wait() (done func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.waiting++
	select {
	case p.wanted <- struct{}{}:
	default:
	}
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.waiting--
	}
}

func (p *pace) hurried() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.waiting > 0
}

// ended tells how long a session has lived that is to be replaced.
func (p *pace) ended(lived time.Duration) {
	p.pauses.Reset()
	if lived >= goodSession {
		return
	}
	for range shortSteps {
		p.pauses.NextBackOff()
	}
}

// pause waits until the next attempt is due. It says no when ctx is done.
func (p *pace) pause(ctx context.Context) bool {
	d := p.pauses.NextBackOff()
	due := time.NewTimer(d)
	defer due.Stop()
	select {
	case <-time.After(min(d, eagerPause)):
	case <-ctx.Done():
		return false
	}
	for !p.hurried() {
		select {
		case <-due.C:
			return ctx.Err() == nil
		case <-p.wanted: // by one who may have left meanwhile
		case <-ctx.Done():
			return false
		}
	}
	return ctx.Err() == nil
}
