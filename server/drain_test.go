package server

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ambassador/internal/link"
	"ambassador/mux"
)

// A client that reads nothing, with small messages waiting for it, keeps a drain
// from telling it. Neither the others nor the drain's time wait for that.
func TestShutdownDoesNotWaitForADeafClient(t *testing.T) {
	t.Parallel()
	s := serveDeaf(t, &Server{})
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	began := time.Now()
	_ = s.Shutdown(ctx) // streams are cut, or not, as it comes
	if d := time.Since(began); d > 4*time.Second {
		t.Errorf("a drain of a second took %v", d)
	}
}

// Nor does a denial: the client has no say in when its session ends.
func TestDenialDoesNotWaitForADeafClient(t *testing.T) {
	t.Parallel()
	var denied atomic.Bool
	s := serveDeaf(t, &Server{Authorize: func(tls.ConnectionState) (Peer, error) {
		if denied.Load() {
			return Peer{}, &DeniedError{"this client is revoked", errors.New("revoked")}
		}
		return Peer{Identity: "deaf", Links: []string{"*"}}, nil
	}})
	denied.Store(true)
	began := time.Now()
	if err := s.Reauthorize(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "its session is over", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return len(s.sessions) == 0
	})
	if d := time.Since(began); d > 4*time.Second {
		t.Errorf("a denial took %v", d)
	}
}

// serveDeaf returns when a client has stopped reading, and the backends of its 50
// streams have written all that is taken.
func serveDeaf(t *testing.T, server *Server) *serving {
	t.Helper()
	var written atomic.Int64
	l := listen(t)
	var backends sync.WaitGroup
	backends.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			backends.Go(func() {
				defer c.Close()
				chatter := time.NewTicker(time.Millisecond)
				defer chatter.Stop()
				for ; ; <-chatter.C {
					n, err := c.Write(make([]byte, 1000))
					written.Add(int64(n))
					if err != nil {
						return
					}
				}
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		backends.Wait()
	})
	server.Links = []link.Link{linkTo("chat", 7, l.Addr())}
	s := serve(t, server)
	dialled := s.dial(t)
	if err := dialled.(*net.TCPConn).SetReadBuffer(64 << 10); err != nil {
		t.Fatal(err)
	}
	conn := &gate{Conn: dialled, shut: make(chan struct{}), closed: make(chan struct{})}
	m, err := mux.Client(t.Context(), conn, testCA().config(t, "client/deaf"), mux.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	if err := m.Control().Send(mux.Message{Kind: mux.KindHello}); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Control().Receive(); err != nil {
		t.Fatal(err)
	}
	for range 50 {
		st := open(t, m, "chat", 7)
		if _, err := io.ReadFull(st, make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
	}
	close(conn.shut)
	look := time.NewTicker(200 * time.Millisecond)
	defer look.Stop()
	for before := int64(-1); written.Load() != before; <-look.C { // until nothing more is taken
		before = written.Load()
	}
	return s
}
