package client

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"sync"
	"time"

	"ambassador/internal/live"
	"ambassador/internal/relay"

	"github.com/cenkalti/backoff/v5"
	"go.uber.org/zap"
)

// ports is a set of local listeners and of what was accepted on them. All are
// opened before any of them accepts, so that a port that cannot be had leaves
// none half-open.
type ports struct {
	listen func(network, address string) (net.Listener, error)
	log    *zap.Logger
	advice string // what to do about a local port that cannot be had

	seen    causes
	stopped chan struct{}  // closed by stop
	serving sync.WaitGroup // whoever serves the set: begin, end, accept

	mu        sync.Mutex
	listeners []net.Listener
	consumers map[*relay.TCPEnd]*relay.Relay // what carries them, nil as long as nothing does
	closed    bool
	running   sync.WaitGroup // consumers
}

func newPorts(listen func(network, address string) (net.Listener, error), log *zap.Logger, advice string) *ports {
	if listen == nil {
		listen = listenTCP
	}
	return &ports{listen: listen, log: log, advice: advice, consumers: make(map[*relay.TCPEnd]*relay.Relay), stopped: make(chan struct{})}
}

// listenTCP opens a listener without MPTCP, on which splice(2) and socket
// options do not work.
func listenTCP(network, address string) (net.Listener, error) {
	lc := net.ListenConfig{KeepAlive: -1} // whoever takes the connections sets their own
	lc.SetMultipathTCP(false)
	return lc.Listen(context.Background(), network, address)
}

// open opens a listener for every address, or none.
func (p *ports) open(addresses []string) ([]net.Listener, error) {
	var opened []net.Listener
	for _, a := range addresses {
		l, err := p.listen("tcp", a)
		if err != nil {
			for _, o := range opened {
				err = errors.Join(err, o.Close())
			}
			return nil, &ListenError{Address: a, Err: err, Advice: p.advice}
		}
		opened = append(opened, l)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.listeners = append(p.listeners, opened...)
	if p.closed {
		for _, l := range opened {
			l.Close()
		}
		return nil, ErrClosed
	}
	return opened, nil
}

// ListenError is a local port that could not be opened.
type ListenError struct {
	Address string
	Err     error
	Advice  string // what to do about it
}

func (e *ListenError) Error() string {
	return fmt.Sprintf("local port %s cannot be opened: %v: %s", e.Address, e.Err, e.Advice)
}

func (e *ListenError) Unwrap() error { return e.Err }

// begin counts whoever opens and serves the set, until end. It says no once the
// set is closed.
func (p *ports) begin() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return false
	}
	p.serving.Add(1)
	return true
}

func (p *ports) end() { p.serving.Done() }

// accept starts to accept on l, between begin and end, until the set is closed.
// It calls handle for each consumer in a goroutine of its own. handle owns the
// consumer, and calls done when it is closed: that may be after it has returned.
func (p *ports) accept(l net.Listener, handle func(consumer *relay.TCPEnd, done func())) {
	p.serving.Go(func() { p.serve(l, handle) })
}

func (p *ports) serve(l net.Listener, handle func(*relay.TCPEnd, func())) {
	pauses := backoff.ExponentialBackOff{InitialInterval: 5 * time.Millisecond, MaxInterval: time.Second, Multiplier: 2}
	pauses.Reset()
	for {
		c, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			// Out of descriptors, or a connection that was gone before it was
			// taken: accept(2) says to go on. A pause keeps this from spinning.
			pause := pauses.NextBackOff()
			p.seen.warn(p.log.With(zap.Stringer("address", l.Addr()), zap.Duration("pause", pause)), "accept failed, trying again", l.Addr().String(), err)
			select {
			case <-time.After(pause):
				continue
			case <-p.stopped:
				return
			}
		}
		pauses.Reset()
		tc, ok := c.(*net.TCPConn)
		if !ok {
			c.Close() // an injected listener's
			continue
		}
		consumer := relay.TCP(tc)
		if !p.add(consumer) {
			consumer.Reset("closing")
			continue
		}
		go handle(consumer, func() { p.remove(consumer) })
	}
}

func (p *ports) add(c *relay.TCPEnd) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return false
	}
	p.consumers[c] = nil
	p.running.Add(1)
	return true
}

// carried notes what carries a consumer.
func (p *ports) carried(c *relay.TCPEnd, by *relay.Relay) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.consumers[c] = by
}

func (p *ports) remove(c *relay.TCPEnd) {
	p.mu.Lock()
	delete(p.consumers, c)
	p.mu.Unlock()
	p.running.Done()
}

// stop closes the listeners. Accepted consumers go on.
func (p *ports) stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return
	}
	p.closed = true
	close(p.stopped)
	for _, l := range p.listeners {
		l.Close()
	}
}

// wait waits until the last consumer is gone or ctx is done: with ctx's error if
// one is left then.
func (p *ports) wait(ctx context.Context) error {
	done := make(chan struct{})
	go func() {
		p.running.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		p.mu.Lock()
		defer p.mu.Unlock()
		if len(p.consumers) == 0 {
			return nil
		}
		return ctx.Err()
	}
}

// cut resets every consumer, and what carries it.
func (p *ports) cut() {
	p.mu.Lock()
	consumers := maps.Clone(p.consumers)
	p.mu.Unlock()
	for c, by := range consumers {
		if by != nil {
			by.Abort(live.DrainTimeout.String())
		} else {
			c.Reset("closing")
		}
	}
}
