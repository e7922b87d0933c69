package server

import (
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"ambassador/internal/link"
	"ambassador/mux"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

// TestDialsOfOneClientAreBounded: while a backend is down two dials of a client wait
// for it, and the next stream waits for its turn. Other links of the client, and
// other clients, have turns of their own.
func TestDialsOfOneClientAreBounded(t *testing.T) {
	down := listen(t)
	address := down.Addr()
	down.Close()
	core, logs := observer.New(zap.DebugLevel)
	s := serve(t, &Server{
		MaxClientDials: 2, Logger: zap.New(core),
		Links:     []link.Link{linkTo("down", 80, address), echo(t, "redis", 6379)},
		Authorize: grants(map[string][]string{"client/a": {"*"}, "client/b": {"*"}}),
	})
	a, _ := s.connect(t, "client/a")
	b, _ := s.connect(t, "client/b")
	patient := func(m *mux.Session, hold time.Duration) *mux.Stream {
		st, err := m.Open(mux.Open{Link: "down", Port: 80, Hold: hold}, nil)
		if err != nil {
			t.Fatal(err)
		}
		return st
	}
	first, second := patient(a, patience), patient(a, patience)
	eventually(t, "two dials are under way", func() bool { return s.dialling("spiffe://test/client/a", "down") == 2 })

	for range 3 {
		if got := refusal(t, patient(a, 50*time.Millisecond)); got.Refusal != mux.RefusedLimit || !strings.Contains(got.Reason, "2 connections") {
			t.Fatalf("%+v, want a refusal that names the limit", got)
		}
	}
	if n := logs.FilterLevelExact(zap.WarnLevel).FilterField(zap.String("limit_name", "max-client-dials")).FilterField(zap.Int("limit", 2)).Len(); n != 1 {
		t.Errorf("%d warnings that name the limit, want 1 in a minute", n)
	}
	if got := refusal(t, patient(a, 0)); got.Refusal != mux.RefusedLimit {
		t.Fatalf("%+v for one that does not wait for a backend, want a refusal all the same", got)
	}
	echoes(t, open(t, a, "redis", 6379))
	third, others := patient(a, patience), patient(b, patience)
	eventually(t, "the other client's dial is under way", func() bool { return s.dialling("spiffe://test/client/b", "down") == 1 })

	// One that leaves while it waits takes no turn.
	patient(a, patience).Reset("test")
	eventually(t, "it is told from one that was refused", func() bool {
		return logs.FilterMessage("consumer gone before the backend was reached").Len() == 1
	})

	echoAt(t, address)
	for _, st := range []*mux.Stream{first, second, third, others} {
		echoes(t, st)
	}
	eventually(t, "no dial is under way", func() bool { return s.dialling("spiffe://test/client/a", "down") == 0 })
}

func (s *Server) dialsOf(identity string) *dials {
	s.mu.Lock()
	defer s.mu.Unlock()
	return &s.clients[identity].dials
}

// dialling is how many dials of a client to a link are under way.
func (s *Server) dialling(identity, link string) int {
	return len(s.dialsOf(identity).of(link, s.MaxClientDials))
}

// echoAt is a backend that comes up at an address.
func echoAt(t *testing.T, address net.Addr) {
	t.Helper()
	l, err := net.Listen("tcp", address.String())
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(func() {
		for c, err := l.Accept(); err == nil; c, err = l.Accept() {
			running.Go(func() {
				defer c.Close()
				_, _ = io.Copy(c, c)
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		running.Wait()
	})
}
