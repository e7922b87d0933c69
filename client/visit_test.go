package client

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"

	"ambassador/internal/live"
	"ambassador/mux"
)

// call visits a provider as doctor does.
func call(t *testing.T, p *provider) (*Visit, error) {
	t.Helper()
	conn, err := net.Dial("tcp", p.address)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	return Call(ctx, conn, testTLS(), "v1")
}

func TestVisit(t *testing.T) {
	clock := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	p := provide(t, mux.Message{Kind: mux.KindWelcome, Version: "v2", Time: clock, Links: []mux.Offer{{Name: "redis", Ports: []uint16{6379}}}})
	v, err := call(t, p)
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	if v.Version != "v2" || !v.Time.Equal(clock) || len(v.Links) != 1 || v.Links[0].Name != "redis" || v.Heard.Before(v.Asked) {
		t.Errorf("%+v", v)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if took, err := v.RoundTrip(ctx); err != nil || took <= 0 || took > patience {
		t.Errorf("round trip: %v, %v", took, err)
	}
	// The echo ends when it is at the end.
	if r, err := v.Reach(ctx, "redis", 6379, time.Second); err != nil || r.Why != live.Running || r.Silent || r.Took <= 0 {
		t.Errorf("%+v, %v", r, err)
	}
	session := p.session(t)
	v.Close()
	<-session.Done()
}

func TestVisitOfAnUnwelcomeClient(t *testing.T) {
	v, err := call(t, provide(t, mux.Message{Kind: mux.KindRefuse, Reason: "revoked"}))
	denied := (*DeniedError)(nil)
	if v != nil || !errors.Is(err, ErrRefused) || !errors.As(err, &denied) || denied.Reason != "revoked" {
		t.Errorf("%v, %v", v, err)
	}
}

// A backend that takes a connection and says nothing is told from one that is not
// reached, and from one that resets it.
func TestVisitTellsHowABackendTakesIt(t *testing.T) {
	for name, c := range map[string]struct {
		serve func(*mux.Stream)
		want  live.Reason
		quiet bool
	}{
		"silent":  {func(st *mux.Stream) { st.Connected() }, live.Running, true},
		"refused": {func(st *mux.Stream) { st.Refuse(mux.RefusedBackendRefused, "connection refused") }, live.BackendRefused, false},
		"no-link": {func(st *mux.Stream) { st.Refuse(mux.RefusedNoLink, "") }, live.NotGranted, false},
		"reset":   {func(st *mux.Stream) { st.Connected(); st.Reset("backend-reset") }, live.BackendReset, false},
	} {
		t.Run(name, func(t *testing.T) {
			ours, theirs := net.Pipe()
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			served := make(chan struct{})
			go func() {
				defer close(served)
				s, err := mux.Server(ctx, theirs, testTLS(), mux.Options{})
				if err != nil {
					t.Error(err)
					return
				}
				defer s.Close()
				s.Control().Receive()
				s.Control().Send(mux.Message{Kind: mux.KindWelcome})
				st, err := s.Accept()
				if err != nil {
					t.Error(err)
					return
				}
				st.ReadOpen(patience)
				c.serve(st)
				<-s.Done()
				st.Close()
			}()
			v, err := Call(ctx, ours, testTLS(), "")
			if err != nil {
				t.Fatal(err)
			}
			try, stop := ctx, func() {}
			if c.quiet {
				try, stop = context.WithTimeout(ctx, 50*time.Millisecond)
			}
			defer stop()
			r, err := v.Reach(try, "redis", 6379, 0)
			if err != nil || r.Why != c.want || r.Silent != c.quiet {
				t.Errorf("%+v, %v", r, err)
			}
			v.Close()
			<-served
		})
	}
}
