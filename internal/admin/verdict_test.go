package admin_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"ambassador/internal/admin"
	"ambassador/internal/live"
)

func TestVerdictSaysWhatIsWrong(t *testing.T) {
	dialled := func(link string, port uint16, why live.Reason) func(*admin.Ambassador) {
		return func(a *admin.Ambassador) { a.Table.Dialled(link, port, why, time.Now(), time.Millisecond) }
	}
	facts := func(change func(*admin.Facts)) func(*admin.Ambassador) {
		return func(a *admin.Ambassador) { withFacts(a, change) }
	}
	for name, c := range map[string]struct {
		with    []func(*admin.Ambassador)
		verdict string
		ready   bool
	}{
		"all-answer": {nil, "2 links up", true},
		"one-refuses": {
			[]func(*admin.Ambassador){dialled("mq", 5672, live.BackendRefused)},
			"1 link up, 1 degraded: mq: backend refused", false,
		},
		"a-port-of-several": {
			[]func(*admin.Ambassador){dialled("redis", 6380, live.BackendTimeout)},
			"1 link up, 1 degraded: redis:6380: backend did not answer in time", false,
		},
		"all-refuse": {
			[]func(*admin.Ambassador){dialled("mq", 5672, live.BackendRefused), dialled("redis", 6379, live.BackendRefused), dialled("redis", 6380, live.BackendRefused)},
			"2 links degraded: mq: backend refused; redis:6379: backend refused", false,
		},
		"nothing-is-known-of-one": {
			[]func(*admin.Ambassador){func(a *admin.Ambassador) { a.Table.Forget("mq", 5672) }},
			"1 link up, 1 not checked yet", false,
		},
		"not-granted": {
			[]func(*admin.Ambassador){facts(func(f *admin.Facts) { f.Links[0].Ports[0].Reason = live.NotGranted.String() })},
			"1 link up, 1 down: mq: not granted", false,
		},
		"no-session": {
			[]func(*admin.Ambassador){facts(func(f *admin.Facts) { f.Tunnel, f.Provider = "connection refused", "big-server:7000" })},
			"no session with big-server:7000: connection refused; 2 links down", false,
		},
		"the-session-drains": {
			[]func(*admin.Ambassador){
				facts(func(f *admin.Facts) { f.Tunnel, f.Provider = "connection refused", "big-server:7000" }),
				func(a *admin.Ambassador) {
					a.Table.OpenSession("p", "", carrier{remote: "10.0.0.1:7000"}, func() {}).Drain()
				},
			},
			"the session with big-server:7000 is draining and takes no new connections; no new session: connection refused; 2 links down", false,
		},
		"no-links": {
			[]func(*admin.Ambassador){facts(func(f *admin.Facts) { f.Links = nil })},
			"no link to offer", false,
		},
		"draining": {
			[]func(*admin.Ambassador){facts(func(f *admin.Facts) { f.Draining = true })},
			"draining", false,
		},
		"draining-with-connections": {
			[]func(*admin.Ambassador){
				facts(func(f *admin.Facts) { f.Draining = true }),
				func(a *admin.Ambassador) { a.Table.OpenStream("p", "mq", 5672, "127.0.0.1:1", "") },
			},
			"draining: 1 connection left", false,
		},
	} {
		t.Run(name, func(t *testing.T) {
			a := provider()
			allAnswer(a.Table)
			for _, change := range c.with {
				change(a)
			}
			s := a.Status(context.Background(), 0)
			if s.Verdict != c.verdict || s.Ready != c.ready {
				t.Errorf("%q, ready %v; want %q, %v", s.Verdict, s.Ready, c.verdict, c.ready)
			}
		})
	}
}

// What was seen of a backend long ago says nothing to one who asks for now.
func TestOldKnowledgeIsNoneWhenFreshIsAskedFor(t *testing.T) {
	a := provider()
	hourAgo := time.Now().Add(-time.Hour)
	for _, p := range []uint16{6379, 6380} {
		a.Table.Dialled("redis", p, live.Running, hourAgo, 0)
	}
	a.Check = func(context.Context, time.Duration) error {
		a.Table.Dialled("mq", 5672, live.Running, time.Now(), 0)
		return errors.New("the others took too long")
	}
	s := a.Status(context.Background(), 5*time.Second)
	if s.Ready || s.Verdict != "1 link up, 1 not checked yet: the others took too long" {
		t.Errorf("%q, ready %v", s.Verdict, s.Ready)
	}
	a.Check = func(context.Context, time.Duration) error { return context.DeadlineExceeded }
	a.Table.Forget("mq", 5672)
	if s := a.Status(context.Background(), 5*time.Second); s.Verdict != "2 links not checked yet: there was no time to ask all backends" {
		t.Errorf("%q", s.Verdict)
	}
	allAnswer(a.Table)
	if s := a.Status(context.Background(), 0); !s.Ready {
		t.Errorf("%q, for one who takes what is known", s.Verdict)
	}
}

func TestReasonsAreWordsInJSONAndSpokenToPeople(t *testing.T) {
	a := provider()
	allAnswer(a.Table)
	a.Table.Dialled("mq", 5672, live.BackendUnknown, time.Now(), 0)
	mq := a.Status(context.Background(), 0).Links[0]
	if mq.State != admin.StateDegraded || mq.Reason != "backend-unknown" || mq.Ports[0].State != admin.StateDown || mq.Ports[0].Reason != "backend-unknown" {
		t.Errorf("%+v", mq)
	}
	// Every reason reads as words.
	for r := range live.Reasons {
		if words := admin.Spoken(r.String()); words == "" || strings.Contains(words, "-") {
			t.Errorf("%v is spoken as %q", r, words)
		}
	}
}
