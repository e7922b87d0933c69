package server

import (
	"context"
	"testing"

	"ambassador/internal/link"
	"ambassador/internal/live"
	"ambassador/mux"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

func TestVisitIsNoNews(t *testing.T) {
	core, logs := observer.New(zap.InfoLevel)
	s := serve(t, &Server{Table: new(live.Table), Links: []link.Link{echo(t, "redis", 6379)}, Logger: zap.New(core)})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	m, err := mux.Client(ctx, s.dial(t), testCA().config(t, "client/c"), mux.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if err := m.Control().Send(mux.Message{Kind: mux.KindHello, Visit: true}); err != nil {
		t.Fatal(err)
	}
	if answer, err := m.Control().Receive(); err != nil || len(answer.Links) != 1 {
		t.Fatalf("%+v, %v", answer, err)
	}
	echoes(t, open(t, m, "redis", 6379))
	eventually(t, "it is shown", func() bool { return len(s.Table.Snapshot(false).Sessions) == 1 })
	m.Close()
	eventually(t, "it is over", func() bool { return s.Table.Snapshot(false).SessionSeconds.Count == 1 })
	s.Close() // and so are its last lines
	if events, _ := s.Table.Events(0); len(events) != 0 {
		t.Errorf("events: %+v", events)
	}
	if n := logs.FilterMessage("client connected").Len() + logs.FilterMessage("client disconnected").Len(); n != 0 {
		t.Errorf("%d lines at info", n)
	}
}
