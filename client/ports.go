package client

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
	"go.uber.org/zap"
)

// ports is a set of local listeners and of what was accepted on them. All are
// opened before any of them accepts, so that a port that cannot be had leaves
// none half-open.
type ports struct {
	listen func(network, address string) (net.Listener, error)
	log    *zap.Logger

	mu        sync.Mutex
	listeners []net.Listener
	consumers map[*net.TCPConn]struct{}
	closed    bool
	running   sync.WaitGroup
}

func newPorts(listen func(network, address string) (net.Listener, error), log *zap.Logger) *ports {
	if listen == nil {
		listen = listenTCP
	}
	return &ports{listen: listen, log: log, consumers: make(map[*net.TCPConn]struct{})}
}

// listenTCP opens a listener without MPTCP, on which splice(2) and socket
// options do not work.
func listenTCP(network, address string) (net.Listener, error) {
	lc := net.ListenConfig{}
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
			return nil, &ListenError{Address: a, Err: err}
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
}

func (e *ListenError) Error() string {
	return fmt.Sprintf("local port %s cannot be opened: %v: free it, or choose another with --expose LOCAL=REMOTE", e.Address, e.Err)
}

func (e *ListenError) Unwrap() error { return e.Err }

// serve accepts on l until the set is closed, and calls handle for each consumer
// in a goroutine of its own. handle owns the consumer.
func (p *ports) serve(l net.Listener, handle func(*net.TCPConn)) {
	pauses := backoff.ExponentialBackOff{InitialInterval: 5 * time.Millisecond, MaxInterval: time.Second, Multiplier: 2}
	pauses.Reset()
	for {
		c, err := l.Accept()
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return
			}
			pause := pauses.NextBackOff()
			p.log.Warn("accept failed, trying again", zap.Stringer("port", l.Addr()), zap.Error(err), zap.Duration("pause", pause))
			<-time.After(pause) // out of descriptors: a pause keeps this from spinning
			continue
		}
		pauses.Reset()
		tc, ok := c.(*net.TCPConn)
		if !ok || !p.add(tc) {
			c.Close()
			continue
		}
		go func() {
			defer p.remove(tc)
			handle(tc)
		}()
	}
}

func (p *ports) add(c *net.TCPConn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return false
	}
	p.consumers[c] = struct{}{}
	p.running.Add(1)
	return true
}

func (p *ports) remove(c *net.TCPConn) {
	p.mu.Lock()
	delete(p.consumers, c)
	p.mu.Unlock()
	p.running.Done()
}

// stop closes the listeners. Accepted consumers go on.
func (p *ports) stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	for _, l := range p.listeners {
		l.Close()
	}
}

// wait waits until the last consumer is gone or ctx is done.
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
		return ctx.Err()
	}
}

// cut resets every consumer.
func (p *ports) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.consumers {
		reset(c)
	}
}

// reset ends a consumer's connection as a refused or lost one ends: with RST.
func reset(c *net.TCPConn) {
	_ = c.SetLinger(0) // fails only on a closed connection
	_ = c.Close()
}
