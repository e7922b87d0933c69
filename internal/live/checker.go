package live

import (
	"context"
	"sync"
	"time"
)

const (
	// checkWithin bounds one check of a backend: less than a dial for a stream may
	// take, because somebody looks at a screen and waits.
	checkWithin = 2 * time.Second
	// checksAtOnce bounds how many backends are asked at a time.
	checksAtOnce = 16
)

// Port is a port of a link.
type Port struct {
	Link   string
	Number uint16
}

// Checker brings what a table knows of backends up to date when somebody asks, and
// does nothing otherwise. Make it with NewChecker. Check may be called by several
// goroutines at once: those who want to know of the same backend share one dial.
type Checker struct {
	table *Table
	dial  func(context.Context, Port) error
	slots chan struct{}

	ctx     context.Context // ends with Close
	cancel  context.CancelFunc
	mu      sync.Mutex
	flights map[Port]chan struct{} // closed when the dial is over
	running sync.WaitGroup
}

// NewChecker makes a checker that asks with dial, which lets go of the connection
// at once.
func NewChecker(t *Table, dial func(context.Context, Port) error) *Checker {
	c := &Checker{table: t, dial: dial, slots: make(chan struct{}, checksAtOnce), flights: make(map[Port]chan struct{})}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	return c
}

// Check returns when nothing that the table knows of the ports' backends is older
// than maxAge, with ctx's error when that is done before, or with
// context.Canceled after Close.
func (c *Checker) Check(ctx context.Context, ports []Port, maxAge time.Duration) error {
	var flights []chan struct{}
	for _, p := range ports {
		if h := c.table.Backend(p.Link, p.Number); h.Known && time.Since(h.At) <= maxAge {
			continue
		}
		f, err := c.flight(ctx, p)
		if err != nil {
			return err
		}
		flights = append(flights, f)
	}
	for _, f := range flights {
		select {
		case <-f:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return c.ctx.Err()
}

// flight is the dial that is under way to a port's backend, or a new one.
func (c *Checker) flight(ctx context.Context, p Port) (chan struct{}, error) {
	if f := c.underWay(p); f != nil {
		return f, nil
	}
	select {
	case c.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-c.ctx.Done():
		return nil, c.ctx.Err()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if f := c.flights[p]; f != nil || c.ctx.Err() != nil {
		<-c.slots
		return f, c.ctx.Err()
	}
	f := make(chan struct{})
	c.flights[p] = f
	c.running.Go(func() {
		defer func() {
			c.mu.Lock()
			delete(c.flights, p)
			c.mu.Unlock()
			close(f)
			<-c.slots
		}()
		c.ask(p)
	})
	return f, nil
}

func (c *Checker) underWay(p Port) chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.flights[p]
}

func (c *Checker) ask(p Port) {
	ctx, cancel := context.WithTimeout(c.ctx, checkWithin)
	defer cancel()
	began := time.Now()
	err := c.dial(ctx, p)
	if c.ctx.Err() != nil {
		return // cut off by Close: it says nothing of the backend
	}
	c.table.Dialled(p.Link, p.Number, DialReason(err), time.Now(), time.Since(began))
}

// Close ends the dials that are under way and waits for them. Check fails from
// then on.
func (c *Checker) Close() {
	c.mu.Lock()
	c.cancel()
	c.mu.Unlock()
	c.running.Wait()
}
