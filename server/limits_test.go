package server

import (
	"strings"
	"testing"

	"ambassador/internal/link"
	"ambassador/mux"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

func TestStreamLimits(t *testing.T) {
	for name, c := range map[string]struct {
		server  *Server
		flag    string
		others  bool // another client is refused too
		says    string
		clients [2]string // of the sessions that fill the limit
	}{
		"of one client, over its sessions": {&Server{MaxClientStreams: 2}, "max-client-streams", false, "this client has 2", [2]string{"client/a", "client/a"}},
		"of all clients":                   {&Server{MaxStreams: 2}, "max-streams", true, "all of its clients", [2]string{"client/a", "client/b"}},
	} {
		t.Run(name, func(t *testing.T) {
			core, logs := observer.New(zap.WarnLevel)
			c.server.Logger = zap.New(core)
			c.server.Links = []link.Link{echo(t, "redis", 6379)}
			c.server.Authorize = grants(map[string][]string{"client/a": {"*"}, "client/b": {"*"}, "client/other": {"*"}})
			s := serve(t, c.server)
			first, _ := s.connect(t, c.clients[0])
			second, _ := s.connect(t, c.clients[1])
			held := open(t, first, "redis", 6379)
			echoes(t, held)
			echoes(t, open(t, second, "redis", 6379))
			for range 5 {
				if got := refusal(t, open(t, first, "redis", 6379)); got.Refusal != mux.RefusedLimit || !strings.Contains(got.Reason, c.says) {
					t.Fatalf("%+v, want a refusal that says %q", got, c.says)
				}
			}
			if n := logs.FilterMessage("stream refused: too many streams").FilterField(zap.String("limit_name", c.flag)).Len(); n != 1 {
				t.Errorf("%d warnings that name %s, want 1 in a minute", n, c.flag)
			}
			other, _ := s.connect(t, "client/other")
			st := open(t, other, "redis", 6379)
			if c.others {
				refusal(t, st)
			} else {
				echoes(t, st)
			}
			held.Reset("test")
			eventually(t, "a stream that ends makes room", func() bool {
				return s.clientStreams("spiffe://test/client/a") < 2 && (!c.others || s.quota.taken.Load() < 2)
			})
			echoes(t, open(t, second, "redis", 6379))
			for _, m := range []*mux.Session{first, second, other} {
				m.Close()
			}
			eventually(t, "nothing is remembered of clients that left", func() bool {
				s.mu.Lock()
				defer s.mu.Unlock()
				return len(s.clients) == 0 && s.quota.taken.Load() == 0
			})
		})
	}
}

func (s *Server) clientStreams(identity string) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if q := s.clients[identity]; q != nil {
		return q.taken.Load()
	}
	return 0
}
