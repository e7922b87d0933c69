package client

import (
	"testing"
	"time"

	"ambassador/internal/link"
	"ambassador/mux"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

// streams waits until a provider's session carries so many streams.
func streams(t *testing.T, s *mux.Session, n int) {
	t.Helper()
	eventually(t, "the streams are where they belong", func() bool { return s.Streams() == n })
}

func TestRenewMovesNewConsumersAndLosesNone(t *testing.T) {
	p := provide(t, mux.Message{Kind: mux.KindWelcome, Links: []mux.Offer{{Name: "echo", Ports: []uint16{7}}}})
	c := &Client{Provider: p.address, Expose: []link.Expose{{Local: freePort(t), Link: "echo", Port: 7}}}
	run(t, c)
	bound(t, c)
	first := p.session(t)
	address := c.Addrs()[0].String()
	old := consumer(t, address)
	echoes(t, old)
	streams(t, first, 1)

	c.Renew("a test")
	second := p.session(t)
	eventually(t, "the new session is in use", func() bool {
		s, err := c.Session(t.Context())
		return err == nil && s.LocalAddr().String() == second.RemoteAddr().String()
	})
	fresh := consumer(t, address)
	echoes(t, fresh)
	echoes(t, old)
	streams(t, second, 1)
	streams(t, first, 1)
	if first.Err() != nil {
		t.Fatal("the old session ended with a stream on it:", first.Err())
	}
	old.Close()
	select {
	case <-first.Done():
	case <-time.After(patience):
		t.Fatal("the old session stays after its last stream")
	}
	echoes(t, fresh)
}

func TestRenewWithoutASessionIsNothing(t *testing.T) {
	c := &Client{Provider: "127.0.0.1:1", Expose: []link.Expose{{Local: freePort(t), Link: "echo", Port: 7}}}
	run(t, c)
	bound(t, c)
	c.Renew("a test")
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	c.Renew("after the end")
}

func TestRevokedClientSaysWhatTheProviderSaid(t *testing.T) {
	p := provide(t, mux.Message{Kind: mux.KindWelcome})
	core, logs := observer.New(zap.WarnLevel)
	c := &Client{Provider: p.address, Expose: []link.Expose{{Local: freePort(t), Link: "echo", Port: 7}}, Logger: zap.New(core)}
	run(t, c)
	s := p.session(t)
	if err := s.Control().Send(mux.Message{Kind: mux.KindRefuse, Reason: "its certificate is revoked"}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the reason is told", func() bool {
		for _, l := range logs.FilterMessage("session with the provider lost, connecting again").All() {
			if l.ContextMap()["error"] == "this client is refused: its certificate is revoked" {
				return true
			}
		}
		return false
	})
}
