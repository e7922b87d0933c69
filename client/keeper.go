package client

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"ambassador/mux"

	"github.com/cenkalti/backoff/v5"
	"go.uber.org/zap"
)

// Why there is no session.
var (
	// ErrNoSession: none came up within the hold budget.
	ErrNoSession = errors.New("no session with the provider")
	// ErrRefused: the provider knows this client and does not serve it.
	ErrRefused = errors.New("the provider refuses this client")
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
	// A consumer that waits is a reason to try at once, but not more often than
	// this.
	eagerPause = 250 * time.Millisecond
	// connectTimeout bounds the TCP connect of one attempt: the first SYN and
	// two repeats of it (RFC 6298 §2.1 and §5.5: after 1 s and 3 s). A fresh
	// attempt then beats waiting for the next repeat.
	connectTimeout = 4 * time.Second
)

// keeper has a live session with the provider, or is getting one.
type keeper struct {
	c *Client

	mu      sync.Mutex
	live    *mux.Session  // nil while there is none
	changed chan struct{} // closed and replaced when live changes
	trouble string        // why the last attempt failed, as it was logged

	wanted chan struct{}  // a consumer waits
	old    sync.WaitGroup // sessions that drain
}

func newKeeper(c *Client) *keeper {
	return &keeper{c: c, changed: make(chan struct{}), wanted: make(chan struct{}, 1)}
}

// wait returns the live session, or waits for one until ctx is done.
func (k *keeper) wait(ctx context.Context) (*mux.Session, error) {
	for {
		k.mu.Lock()
		s, changed, why := k.live, k.changed, k.trouble
		k.mu.Unlock()
		if s != nil && s.Err() == nil {
			return s, nil
		}
		select {
		case k.wanted <- struct{}{}:
		default:
		}
		select {
		case <-changed:
		case <-ctx.Done():
			if why != "" {
				return nil, fmt.Errorf("%w: %s", ErrNoSession, why)
			}
			return nil, ErrNoSession
		}
	}
}

func (k *keeper) set(s *mux.Session) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.live = s
	close(k.changed)
	k.changed = make(chan struct{})
}

// drop takes a session that does not work any more out of use.
func (k *keeper) drop(s *mux.Session) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.live == s {
		k.live = nil
		close(k.changed)
		k.changed = make(chan struct{})
	}
}

// keep gets sessions until the client is closed. It returns ErrClosed then, or
// an error that no further attempt can mend.
func (k *keeper) keep() error {
	defer k.old.Wait()
	pauses := backoff.ExponentialBackOff{InitialInterval: firstPause / 2, MaxInterval: longestPause / 2, Multiplier: 2, RandomizationFactor: 1}
	pauses.Reset()
	first := true
	for {
		began := time.Now()
		s, links, err := k.connect()
		if err == nil {
			if err := k.c.apply(links, first); err != nil {
				return errors.Join(err, s.Close())
			}
			first = false
			k.connected(s)
			k.hold(s)
			if time.Since(began) >= goodSession {
				pauses.Reset()
			}
		} else {
			k.failed(err)
		}
		if !k.pause(pauses.NextBackOff()) {
			return ErrClosed
		}
	}
}

// pause waits between attempts, less if a consumer is waiting. It says no when
// the client is closed.
func (k *keeper) pause(d time.Duration) bool {
	eager := min(d, eagerPause)
	select {
	case <-time.After(eager):
	case <-k.c.ctx.Done():
		return false
	}
	select {
	case <-time.After(d - eager):
	case <-k.wanted:
	case <-k.c.ctx.Done():
		return false
	}
	return true
}

// connect makes one attempt: TCP, TLS, hello and welcome.
func (k *keeper) connect() (*mux.Session, []mux.Offer, error) {
	ctx, cancel := context.WithTimeout(k.c.ctx, k.c.HandshakeTimeout)
	defer cancel()
	d := net.Dialer{Timeout: connectTimeout}
	d.SetMultipathTCP(false)
	conn, err := d.DialContext(ctx, "tcp", k.c.Provider)
	if err != nil {
		return nil, nil, err
	}
	options := k.c.Carrier
	options.Logger = k.c.log
	s, err := mux.Client(ctx, conn, k.c.TLSConfig, options)
	if err != nil {
		return nil, nil, err
	}
	links, err := k.greet(ctx, s)
	if err != nil {
		return nil, nil, errors.Join(err, s.Close())
	}
	return s, links, nil
}

// greet says hello and waits for the welcome: only then has the provider
// accepted our certificate (RFC 8446 §4.4.4).
func (k *keeper) greet(ctx context.Context, s *mux.Session) ([]mux.Offer, error) {
	defer context.AfterFunc(ctx, func() { s.Close() })()
	if err := s.Control().Send(mux.Message{Kind: mux.KindHello, Version: k.c.Version}); err != nil {
		return nil, err
	}
	m, err := s.Control().Receive()
	if err != nil {
		return nil, err
	}
	if m.Kind == mux.KindRefuse {
		return nil, fmt.Errorf("%w: %s: see the provider's log", ErrRefused, m.Reason)
	}
	if m.Kind != mux.KindWelcome {
		return nil, fmt.Errorf("%w: first message is %q, expected %q", mux.ErrProtocol, m.Kind, mux.KindWelcome)
	}
	return m.Links, nil
}

// hold uses a session until it ends or is to be drained. A drained session goes
// on beside its successor until its last stream has ended.
func (k *keeper) hold(s *mux.Session) {
	k.set(s)
	stop := context.AfterFunc(k.c.ctx, func() { s.Close() })
	draining := k.follow(s)
	k.drop(s)
	if !draining {
		stop()
		k.lost(s.Err())
		s.Close()
		return
	}
	k.c.log.Info("provider is draining, moving to a new session", zap.Int("streams", s.Streams()))
	k.old.Go(func() {
		defer stop()
		select {
		case <-s.Retire():
		case <-s.Done():
		}
		s.Close()
	})
}

// follow handles the provider's messages until the session ends (false) or the
// provider asks to leave it (true).
func (k *keeper) follow(s *mux.Session) (draining bool) {
	for {
		m, err := s.Control().Receive()
		if err != nil {
			return false
		}
		switch m.Kind {
		case mux.KindDrain:
			return true
		case mux.KindLinks:
			_ = k.c.apply(m.Links, false) // fails only the first time
		}
	}
}
