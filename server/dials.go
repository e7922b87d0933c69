package server

import (
	"context"
	"errors"
	"sync"
	"time"
)

// defaultMaxClientDials is for a client whose consumers all come at once: with a
// backend 50 ms away that is 2500 new connections a second, and the last of 5000
// within the hold budget of 3 s.
const defaultMaxClientDials = 128

// leastBudget is what a backend gets at least of the hold budget when the stream
// had to wait for its turn.
const leastBudget = 100 * time.Millisecond

// turnWithoutHold is how long a stream without a hold budget waits for its turn: it
// waits for nothing that is down, and its turn comes after dials that are quick.
const turnWithoutHold = time.Second

// errNoTurn: as many of the client's dials were under way all the time.
var errNoTurn = errors.New("no turn to dial the backend within the hold budget")

// dials bounds how many of one client's dials are under way at a time, for each link
// by itself: a backend that swallows them keeps nobody from the others. Who comes
// next waits, in the order of coming.
//
// A client that opens streams and resets them at once would otherwise have
// thousands of goroutines about to dial, and every other client's work would stand
// in the scheduler's queue behind them.
type dials struct {
	mu     sync.Mutex
	byLink map[string]chan struct{} // of as many places as there may be dials
}

func (d *dials) of(link string, limit int) chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	places := d.byLink[link]
	if places == nil {
		if d.byLink == nil {
			d.byLink = make(map[string]chan struct{})
		}
		places = make(chan struct{}, limit)
		d.byLink[link] = places
	}
	return places
}

// enter waits for a place for as long as the stream may wait for its backend, or ctx
// is done, and returns what to call when the dial is over.
func (d *dials) enter(ctx context.Context, link string, limit int, patience time.Duration) (leave func(), err error) {
	places := d.of(link, limit)
	leave = func() { <-places }
	select {
	case places <- struct{}{}: // a channel serves those who wait in their order
		return leave, nil
	default:
	}
	late := time.NewTimer(patience)
	defer late.Stop()
	select {
	case places <- struct{}{}:
		return leave, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-late.C:
		return nil, errNoTurn
	}
}
