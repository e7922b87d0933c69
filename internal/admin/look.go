package admin

import (
	"context"
	"os"
	"time"

	"ambassador/internal/live"
)

// look is one look at an ambassador. Every document is made of one, so that no two
// ways of asking can disagree.
type look struct {
	a     *Ambassador
	facts Facts
	live.Snapshot
	// known is how old what is known of a backend may be: what is older tells
	// nothing. The zero time takes whatever there is.
	known time.Time
	// unchecked is why backends could not be looked into; empty if they were.
	unchecked string
}

// checkSlack is how much older than asked an answer may be: a client's comes over
// the network.
const checkSlack = time.Second

// look takes one. With a maxAge above 0 it has the backends looked into first.
func (a *Ambassador) look(ctx context.Context, maxAge time.Duration, streams bool) *look {
	l := &look{a: a}
	if maxAge > 0 && a.Check != nil {
		l.known = time.Now().Add(-maxAge - checkSlack)
		if err := a.Check(ctx, maxAge); err != nil {
			l.unchecked = notChecked(err)
		}
	}
	if a.Facts != nil {
		l.facts = a.Facts()
	}
	l.Snapshot = a.Table.Snapshot(streams)
	return l
}

// notChecked is why backends could not be looked into, in words for a person: a
// context's own are for programs.
func notChecked(err error) string {
	switch text := err.Error(); text {
	case context.DeadlineExceeded.Error():
		return "there was no time to ask all backends"
	case context.Canceled.Error():
		return "the ambassador ends"
	default:
		return text
	}
}

// Status is all that there is to see, but for single sessions and streams. With a
// maxAge above 0, what it says of backends is no older than that, as far as ctx
// leaves the time to look; with 0 it is what is known already.
func (a *Ambassador) Status(ctx context.Context, maxAge time.Duration) Status {
	l := a.look(ctx, maxAge, false)
	s := Status{
		Schema: Schema, Role: a.Role, Build: a.Build, PID: os.Getpid(), Time: l.At, Started: a.Started,
		Identity: l.facts.Identity, Provider: l.facts.Provider, Listen: listed(l.facts.Listen),
		Draining: l.facts.Draining, Sessions: len(l.Sessions),
		Links: l.links(), Peers: l.peers(), Certificates: listed(l.facts.Certificates), Handshakes: l.Handshakes,
	}
	for _, c := range l.Accounts {
		s.Streams += c.Streams
	}
	if s.Handshakes == nil {
		s.Handshakes = map[string]uint64{}
	}
	if !l.facts.Reloaded.IsZero() {
		s.Reload = &Reload{Time: l.facts.Reloaded, OK: l.facts.ReloadError == "", Error: l.facts.ReloadError}
	}
	s.Verdict, s.Ready = l.verdict(s.Links, s.Streams)
	s.Warnings = l.warnings()
	return s
}

// Links are the links alone; see [Ambassador.Status] for maxAge.
func (a *Ambassador) Links(ctx context.Context, maxAge time.Duration) Links {
	return Links{Schema: Schema, Links: a.look(ctx, maxAge, false).links()}
}

// Peers are the peers alone.
func (a *Ambassador) Peers(ctx context.Context) Peers {
	return Peers{Schema: Schema, Peers: a.look(ctx, 0, false).peers()}
}

// listed is a list that JSON shows as one, also when it is empty.
func listed[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

// moment is a time that may be missing.
func moment(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}
