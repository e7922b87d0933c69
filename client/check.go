package client

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"ambassador/internal/live"
	"ambassador/mux"
)

// ErrNoChecks: the provider's version does not say whether its backends answer.
var ErrNoChecks = errors.New("the provider does not say whether its backends answer: it is of an older version, or keeps no status")

// answerWithin bounds the wait for the provider's answer to a check: its own bound
// is 2 s for a backend, and it asks several at a time.
const answerWithin = 5 * time.Second

// lateError is what was not done in time. A person reads it in a verdict, where a
// context's own words would say nothing more.
type lateError struct {
	text string
	ctx  error
}

func (e *lateError) Error() string { return e.text }
func (e *lateError) Unwrap() error { return e.ctx }

// Check brings what Table knows of the granted links' backends up to date, by
// asking the provider: it answers with nothing older than maxAge, or than a second
// if that is more. It fails with ErrNoSession at once when there is no session,
// with ErrNoChecks when the provider cannot answer, and after 5 s.
func (c *Client) Check(ctx context.Context, maxAge time.Duration) error {
	c.init()
	s, err := c.keeper.now()
	if err != nil {
		return err
	}
	if !s.welcome.Checks {
		return ErrNoChecks
	}
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	answered := s.answers.next()
	if err := c.ask(ctx, s, maxAge); err != nil {
		return err
	}
	select {
	case <-answered:
		return nil
	case <-s.Done():
		return fmt.Errorf("%w: %w", ErrNoSession, s.Err())
	case <-ctx.Done():
		return &lateError{"the provider did not say in time whether its backends answer", ctx.Err()}
	}
}

// ask sends the question, which a path that is stuck may hold up: not the caller.
func (c *Client) ask(ctx context.Context, s *session, maxAge time.Duration) error {
	if !c.ports.begin() {
		return ErrClosed
	}
	sent := make(chan error, 1)
	go func() {
		defer c.ports.end()
		sent <- s.Control().Send(mux.Message{Kind: mux.KindCheck, MaxAge: maxAge.Milliseconds()})
	}()
	select {
	case err := <-sent:
		return err
	case <-ctx.Done():
		return &lateError{"the provider could not be asked in time", ctx.Err()}
	}
}

// now is the live session, if there is one.
func (k *keeper) now() (*session, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	switch {
	case k.live != nil && k.live.Err() == nil:
		return k.live, nil
	case k.trouble != "":
		return nil, fmt.Errorf("%w: %s", ErrNoSession, k.trouble)
	}
	return nil, fmt.Errorf("%w: still connecting to %s", ErrNoSession, k.c.Provider)
}

// learn takes what the provider says of backends, of links that it grants.
func (c *Client) learn(health []mux.Health) {
	c.mu.Lock()
	offers := c.offers
	c.mu.Unlock()
	for _, h := range health {
		if !grants(offers, h.Link, h.Port) {
			continue
		}
		why := live.Running
		if !h.OK {
			why = backendReason(h.Reason)
		}
		at := time.Now().Add(-max(time.Duration(h.Age)*time.Millisecond, 0))
		c.Table.Dialled(h.Link, h.Port, why, at, time.Duration(h.Took)*time.Microsecond)
	}
}

// backendReason is the provider's word for a backend that does not answer.
func backendReason(word string) live.Reason {
	why, _ := live.ParseReason(word)
	if !saysOfBackend(why) {
		return live.BackendFailed
	}
	return why
}

// answers tells those who wait for an answer of a session's provider.
type answers struct {
	mu   sync.Mutex
	wake chan struct{} // closed with the next; nil while nobody waits
}

// next is closed when the next answer has come.
func (a *answers) next() <-chan struct{} {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.wake == nil {
		a.wake = make(chan struct{})
	}
	return a.wake
}

func (a *answers) come() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.wake != nil {
		close(a.wake)
		a.wake = nil
	}
}
