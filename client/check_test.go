package client

import (
	"context"
	"errors"
	"net"
	"reflect"
	"testing"
	"time"

	"ambassador/internal/link"
	"ambassador/internal/live"
	"ambassador/mux"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

var welcomeWithChecks = mux.Message{
	Kind: mux.KindWelcome, Version: "p1", Checks: true, Links: []mux.Offer{{Name: "redis", Ports: []uint16{6379}}},
}

func TestClientAsksItsProvider(t *testing.T) {
	p := provide(t, welcomeWithChecks)
	core, logs := observer.New(zap.InfoLevel)
	c := &Client{Provider: p.address, Table: new(live.Table), Logger: zap.New(core), Expose: []link.Expose{{Local: freePort(t), Link: "redis", Port: 6379}}}
	run(t, c)
	s := p.session(t)
	if _, err := c.Session(t.Context()); err != nil {
		t.Fatal(err)
	}
	checked := make(chan error, 1)
	go func() { checked <- c.Check(t.Context(), 3*time.Second) }()
	asked, err := s.Control().Receive()
	if err != nil || asked.Kind != mux.KindCheck || asked.MaxAge != 3000 {
		t.Fatalf("the provider is asked %+v, %v", asked, err)
	}
	select {
	case err := <-checked:
		t.Fatalf("checked before the answer: %v", err)
	default:
	}
	if err := s.Control().Send(mux.Message{Kind: mux.KindHealth, Health: []mux.Health{
		{Link: "redis", Port: 6379, Reason: "backend-timeout", Age: 2000, Took: 1500},
		{Link: "never granted", Port: 1, OK: true},
		{Link: "redis", Port: 1, OK: true},
	}}); err != nil {
		t.Fatal(err)
	}
	if err := <-checked; err != nil {
		t.Fatal(err)
	}
	known := c.Table.Snapshot(false).Backends
	if len(known) != 1 {
		t.Fatalf("known are %+v, want what is granted alone", known)
	}
	h := known[0]
	if age := time.Since(h.At); h.OK || h.Reason != live.BackendTimeout || h.Took != 1500*time.Microsecond || age < 2*time.Second || age > patience {
		t.Errorf("%+v", h)
	}
	if down := logs.FilterMessage("backend does not answer").FilterField(zap.String("link", "redis")); down.Len() != 1 {
		t.Errorf("its change is logged in %d lines", down.Len())
	}
	// A word that is none of a backend's is not taken.
	learnt := []mux.Health{{Link: "redis", Port: 6379, Reason: "killed"}}
	c.learn(learnt)
	if h := c.Table.Backend("redis", 6379); h.Reason != live.BackendFailed {
		t.Errorf("%+v", h)
	}
	// What is not granted any more is not known any more.
	if err := s.Control().Send(mux.Message{Kind: mux.KindLinks}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is forgotten", func() bool { return len(c.Table.Snapshot(false).Backends) == 0 })
}

func TestProviderThatCannotAnswer(t *testing.T) {
	t.Run("an older one", func(t *testing.T) {
		p := provide(t, mux.Message{Kind: mux.KindWelcome})
		c := &Client{Provider: p.address, Table: new(live.Table), Expose: []link.Expose{{Local: freePort(t), Link: "redis", Port: 6379}}}
		run(t, c)
		if _, err := c.Session(t.Context()); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		if err := c.Check(t.Context(), 0); !errors.Is(err, ErrNoChecks) || time.Since(began) > time.Second {
			t.Errorf("%v after %v, want ErrNoChecks at once", err, time.Since(began))
		}
	})
	t.Run("a silent one", func(t *testing.T) {
		p := provide(t, welcomeWithChecks)
		c := &Client{Provider: p.address, Table: new(live.Table), Expose: []link.Expose{{Local: freePort(t), Link: "redis", Port: 6379}}}
		run(t, c)
		if _, err := c.Session(t.Context()); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		if err := c.Check(ctx, 0); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		checked := make(chan error, 1)
		go func() { checked <- c.Check(t.Context(), 0) }()
		s := p.session(t)
		s.Control().Receive() // the first one
		s.Control().Receive()
		c.Close()
		if err := <-checked; !errors.Is(err, ErrNoSession) {
			t.Errorf("with its session gone: %v", err)
		}
	})
	t.Run("none", func(t *testing.T) {
		c := &Client{Provider: "127.0.0.1:1", Table: new(live.Table)}
		if err := c.Check(t.Context(), 0); !errors.Is(err, ErrNoSession) {
			t.Error(err)
		}
		c.Close()
	})
}

// forwarding runs a forwarder to a target, and gives the address of its port.
func forwarding(t *testing.T, to link.Target, f *Forwarder) string {
	t.Helper()
	l, err := listenTCP("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f.Table = new(live.Table)
	f.Forwards = []link.Forward{{Local: 6379, Link: "redis", Target: to}}
	f.Listen = func(string, string) (net.Listener, error) { return l, nil }
	ended := make(chan error, 1)
	go func() { ended <- f.ListenAndServe() }()
	t.Cleanup(func() {
		f.Close()
		<-ended
	})
	return l.Addr().String()
}

func TestForwarderKeepsTheTable(t *testing.T) {
	nobody, err := listenTCP("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody.Close()
	abort := func(c net.Conn) { c.(*net.TCPConn).SetLinger(0); c.Close() }
	for name, row := range map[string]struct {
		to    func(t testing.TB) link.Target
		stage func(t *testing.T, f *Forwarder, c net.Conn)
		want  live.Reason
	}{
		"consumer finishes": {echo, func(t *testing.T, _ *Forwarder, c net.Conn) {
			echoes(t, c)
			c.(*net.TCPConn).CloseWrite()
		}, live.ConsumerClosed},
		"consumer aborts": {echo, func(t *testing.T, _ *Forwarder, c net.Conn) {
			echoes(t, c)
			abort(c)
		}, live.ConsumerReset},
		"killed": {echo, func(t *testing.T, f *Forwarder, c net.Conn) {
			echoes(t, c)
			f.Table.KillStream(f.Table.Snapshot(true).Streams[0].ID)
			if _, err := c.Read(make([]byte, 1)); err == nil {
				t.Error("not reset")
			}
		}, live.Killed},
		"closed": {echo, func(t *testing.T, f *Forwarder, c net.Conn) {
			echoes(t, c)
			f.Close()
		}, live.DrainTimeout},
		"nobody listens": {func(t testing.TB) link.Target {
			return link.Target{Host: "127.0.0.1", Port: portOf(t, nobody.Addr())}
		}, func(*testing.T, *Forwarder, net.Conn) {}, live.BackendRefused},
	} {
		t.Run(name, func(t *testing.T) {
			core, logs := observer.New(zap.InfoLevel)
			f := &Forwarder{Hold: 300 * time.Millisecond, Logger: zap.New(core)}
			to := row.to(t)
			c := consumer(t, forwarding(t, to, f))
			row.stage(t, f, c)
			got := map[string]uint64{}
			eventually(t, "the stream has ended", func() bool {
				for _, a := range f.Table.Snapshot(false).Accounts {
					for r, n := range a.Ended {
						if n > 0 {
							got[a.Link+" "+live.Reason(r).String()] = n
						}
					}
				}
				return len(got) > 0
			})
			if want := map[string]uint64{"redis " + row.want.String(): 1}; !reflect.DeepEqual(got, want) {
				t.Errorf("%v, want %v", got, want)
			}
			h := f.Table.Backend("redis", 6379)
			if !h.Known || h.OK != (row.want != live.BackendRefused) {
				t.Errorf("%+v", h)
			}
			if told := logs.FilterMessage("backend does not answer").Len() == 1; told == h.OK {
				t.Errorf("it is logged that the backend does not answer: %v", told)
			}
		})
	}
}

func TestForwarderChecksItsTargets(t *testing.T) {
	f := new(Forwarder)
	target := echo(t)
	forwarding(t, target, f)
	if err := f.Check(t.Context(), time.Minute); err != nil {
		t.Fatal(err)
	}
	h := f.Table.Backend("redis", 6379)
	if !h.OK || h.Took <= 0 {
		t.Errorf("%+v", h)
	}
	if err := f.Check(t.Context(), time.Minute); err != nil || f.Table.Backend("redis", 6379) != h {
		t.Errorf("%v, and what is known is %+v, was %+v", err, f.Table.Backend("redis", 6379), h)
	}
	f.Close()
	if err := f.Check(t.Context(), 0); err == nil {
		t.Error("a closed forwarder checks")
	}
	if err := new(Forwarder).Check(t.Context(), 0); !errors.Is(err, errNoTable) {
		t.Errorf("without a table: %v", err)
	}
}
