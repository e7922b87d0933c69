package client

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"ambassador/internal/live"
	"ambassador/mux"

	"go.uber.org/zap"
)

// Why there is no session.
var (
	// ErrNoSession: none came up within the hold budget.
	ErrNoSession = errors.New("no session with the provider")
	// ErrRefused: the provider knows this client and does not serve it.
	ErrRefused = errors.New("this client is refused")
)

// DeniedError is ErrRefused as the provider says it before it has let the client
// in.
type DeniedError struct{ Reason string }

func (e *DeniedError) Error() string {
	return fmt.Sprintf("%v: %s: see the provider's log", ErrRefused, e.Reason)
}

// Is makes the error match ErrRefused.
func (e *DeniedError) Is(target error) bool { return target == ErrRefused }

// connectTimeout bounds the TCP connect of one attempt: the first SYN and two
// repeats of it (RFC 6298 §2.1 and §5.5: after 1 s and 3 s). A fresh attempt then
// beats waiting for the next repeat.
const connectTimeout = 4 * time.Second

// keeper has a live session with the provider, or is getting one.
type keeper struct {
	c       *Client
	attempt func() (*session, error) // connect, but in tests
	pace    *pace

	mu      sync.Mutex
	live    *session      // nil while there is none
	peer    string        // who the provider was the last time
	changed chan struct{} // closed and replaced when live changes
	trouble string        // why the last attempt failed, as it was logged
	cause   error         // the same as an error
	told    *causes       // those of attempts since the last session

	going context.Context // ends with Close, and before it when Shutdown has no more consumers
	leave context.CancelFunc
	begun atomic.Bool   // keep was called
	over  chan struct{} // closed when it has returned

	suspicious sync.Mutex    // held while a silent session is looked into
	standby    chan *session // made while the live one was silent

	old sync.WaitGroup // sessions that drain
}

// session is a session with what the provider grants on it.
type session struct {
	*mux.Session
	peer    string // the provider's identity
	welcome mux.Message
	row     *live.Session // nil until it is used, and without a table
	answers answers

	beside *mux.Session // the one that it is to replace, nil for none
	renews string       // why, if that one works; see Renew
}

func newKeeper(c *Client) *keeper {
	k := &keeper{c: c, pace: newPace(), changed: make(chan struct{}), told: new(causes), standby: make(chan *session, 1)}
	k.attempt = k.connect
	k.over = make(chan struct{})
	k.going, k.leave = context.WithCancel(c.ctx)
	return k
}

// wait returns the live session, or waits for one until ctx is done.
func (k *keeper) wait(ctx context.Context) (*session, error) {
	for {
		k.mu.Lock()
		s, changed, why := k.live, k.changed, k.trouble
		k.mu.Unlock()
		if s != nil && s.Err() == nil {
			return s, nil
		}
		done := k.pace.wait()
		select {
		case <-changed:
			done()
		case <-ctx.Done():
			done()
			if why != "" {
				return nil, fmt.Errorf("%w: %s", ErrNoSession, why)
			}
			return nil, fmt.Errorf("%w: still connecting to %s", ErrNoSession, k.c.Provider)
		}
	}
}

// provider is who the provider is, or was the last time, and empty before that.
func (k *keeper) provider() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.peer
}

func (k *keeper) set(s *session) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.live, k.peer = s, s.peer
	close(k.changed)
	k.changed = make(chan struct{})
}

// drop takes a session that does not work any more out of use.
func (k *keeper) drop(s *session) {
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
	k.begun.Store(true)
	defer close(k.over)
	defer k.closeStandby()
	defer k.old.Wait()
	first := true
	var next *session
	for {
		s, err := k.next(next)
		if err == nil {
			if err := k.c.apply(s.welcome.Links, first); err != nil {
				return errors.Join(err, s.Close())
			}
			first = false
			k.connected(s)
			began := time.Now()
			if next = k.hold(s); next != nil {
				continue
			}
			k.pace.ended(time.Since(began))
		} else {
			k.failed(err)
		}
		if !k.pace.pause(k.going) {
			return ErrClosed
		}
	}
}

// finish ends the live session when it has no consumers any more, and waits until
// the provider has had the last bytes of all sessions, or ctx is done.
func (k *keeper) finish(ctx context.Context) error {
	k.leave()
	if !k.begun.Load() {
		return nil
	}
	select {
	case <-k.over:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// next is the session made beside the last one, or else a new attempt.
func (k *keeper) next(made *session) (*session, error) {
	if made != nil {
		return made, nil
	}
	select {
	case made := <-k.standby:
		if made.Err() == nil {
			return made, nil
		}
		made.Close()
	default:
	}
	return k.attempt()
}

func (k *keeper) closeStandby() {
	select {
	case made := <-k.standby:
		made.Close()
	default:
	}
}

// connect makes one attempt: TCP, TLS, hello and welcome.
func (k *keeper) connect() (*session, error) {
	ctx, cancel := context.WithTimeout(k.going, k.c.HandshakeTimeout)
	defer cancel()
	d := net.Dialer{Timeout: connectTimeout, KeepAlive: -1} // mux sets its own
	d.SetMultipathTCP(false)
	conn, err := d.DialContext(ctx, "tcp", k.c.Provider)
	if err != nil {
		return nil, err
	}
	options := k.c.Carrier
	options.Logger = k.c.log
	s, err := mux.Client(ctx, conn, k.c.TLSConfig, options)
	if err != nil {
		return nil, err
	}
	welcome, err := greet(ctx, s, mux.Message{Version: k.c.Version})
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return &session{Session: s, peer: identityOf(s.TLS()), welcome: welcome}, nil
}

// identityOf is who the provider's certificate, which was verified, speaks for:
// its URI, or one of another CA's its first DNS name.
func identityOf(cs tls.ConnectionState) string {
	if len(cs.PeerCertificates) == 0 {
		return ""
	}
	c := cs.PeerCertificates[0]
	switch {
	case len(c.URIs) > 0:
		return c.URIs[0].String()
	case len(c.DNSNames) > 0:
		return c.DNSNames[0]
	}
	return ""
}

// greet says hello and waits for the welcome: only then has the provider
// accepted our certificate (RFC 8446 §4.4.4).
func greet(ctx context.Context, s *mux.Session, hello mux.Message) (mux.Message, error) {
	defer context.AfterFunc(ctx, func() { s.Close() })()
	hello.Kind = mux.KindHello
	if err := s.Control().Send(hello); err != nil {
		return mux.Message{}, err
	}
	m, err := s.Control().Receive()
	if err != nil {
		return mux.Message{}, err
	}
	if m.Kind == mux.KindRefuse {
		return mux.Message{}, &DeniedError{Reason: m.Reason}
	}
	if m.Kind != mux.KindWelcome {
		return mux.Message{}, fmt.Errorf("%w: first message is %q, expected %q", mux.ErrProtocol, m.Kind, mux.KindWelcome)
	}
	return m, nil
}

// hold uses a session until it ends, is to be drained, or another was made
// beside it, which it returns. A session that is left goes on until its last
// stream has ended.
func (k *keeper) hold(s *session) (next *session) {
	s.row = k.c.Table.OpenSession(s.peer, s.welcome.Version, s, func() { s.Close() })
	k.set(s)
	s.AfterWorn(func() { k.renewWorn(s, "its keys are worn") })
	stop := context.AfterFunc(k.c.ctx, func() { s.Close() })
	followed := make(chan error, 1)
	go func() { followed <- k.follow(s) }()
	next, err := k.useful(s, followed)
	k.drop(s)
	switch {
	case errors.Is(err, errLeaving):
	case next != nil && next.renews != "":
		k.notice(s, "moving to a new session: "+next.renews)
		k.c.log.Info("moving to a new session", zap.String("reason", next.renews), zap.Int("streams", s.Streams()))
	case next != nil:
		k.notice(s, "session is silent, moving to a new one")
		n := s.ResetUnheard("the session is silent")
		k.c.log.Warn("session is silent, moving to a new one", zap.Duration("silence", s.Silence()),
			zap.Int("streams", s.Streams()), zap.Int("streams_reset", n))
	case err != nil:
		stop()
		if !errors.Is(err, ErrRefused) { // the provider's own word says more
			err = cmp.Or(s.Err(), err)
		}
		if k.c.ctx.Err() != nil {
			err = nil // it was to end
		}
		if s.row.Killed() {
			k.c.log.Info("session ended by an operator, connecting again", zap.String("provider", k.c.Provider))
		} else {
			k.lost(err)
		}
		s.Close()
		s.row.End(err)
		return nil
	default:
		k.notice(s, "provider is draining, moving to a new session")
		k.c.log.Info("provider is draining, moving to a new session", zap.Int("streams", s.Streams()))
		followed <- nil // read again below
	}
	s.row.Drain()
	k.old.Go(func() {
		defer stop()
		select {
		case <-s.Retire():
			if k.c.ctx.Err() != nil {
				break // Close takes its second for the last words, and no more
			}
			if err := s.Finish(k.c.ctx); err != nil && k.c.ctx.Err() == nil {
				k.c.log.Warn("session ended before the provider had its last bytes", zap.Error(err))
			}
		case <-s.Done():
		}
		reason := s.Err()
		s.Close()
		<-followed
		if errors.Is(reason, mux.ErrEnded) || errors.Is(reason, mux.ErrClosed) {
			reason = nil
		}
		s.row.End(reason)
	})
	return next
}

// notice keeps an event of a session.
func (k *keeper) notice(s *session, text string) {
	k.c.Table.Event(live.Event{Kind: live.Notice, Peer: s.peer, Text: text})
}

// errLeaving: no session is needed any more.
var errLeaving = errors.New("leaving")

// useful waits until s is of no more use: another was made in its place, the client
// is leaving, or what follow says. One that was made for a session before it is not needed.
func (k *keeper) useful(s *session, followed <-chan error) (next *session, err error) {
	for {
		select {
		case err := <-followed:
			return nil, err
		case <-k.going.Done():
			return nil, errLeaving
		case next := <-k.standby:
			if next.beside == s.Session {
				return next, nil
			}
			next.Close()
		}
	}
}

// follow handles the provider's messages until the provider asks to leave the
// session (nil), or the session ends or is of no more use (why).
func (k *keeper) follow(s *session) error {
	for {
		m, err := s.Control().Receive()
		if err != nil {
			return err
		}
		switch m.Kind {
		case mux.KindDrain:
			return nil
		case mux.KindRenew:
			k.renewWorn(s, "the provider asks for it")
		case mux.KindRefuse:
			return fmt.Errorf("%w: %s", ErrRefused, m.Reason)
		case mux.KindLinks:
			_ = k.c.apply(m.Links, false) // fails only the first time
			k.c.Table.Event(live.Event{Kind: live.LinksChanged, Peer: s.peer, Text: fmt.Sprintf("the provider grants %d links now", len(m.Links))})
		case mux.KindHealth:
			k.c.learn(m.Health)
			s.answers.come()
		}
	}
}
