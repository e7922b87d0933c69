package mux

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"time"
)

// stallConn is a connection that can be made to swallow what is written and
// deliver nothing, as a path that drops every packet does.
type stallConn struct {
	net.Conn
	stalled atomic.Bool
}

func (c *stallConn) Write(p []byte) (int, error) {
	if c.stalled.Load() {
		return len(p), nil
	}
	return c.Conn.Write(p)
}

// Close of a stalled connection is not seen by the peer either.
func (c *stallConn) Close() error {
	if c.stalled.Load() {
		return c.Conn.SetDeadline(time.Unix(1, 0))
	}
	return c.Conn.Close()
}

func TestSilentPeerIsGivenUp(t *testing.T) {
	a, b := tcpPair(t)
	defer a.Close()
	defer b.Close()
	sa, sb := &stallConn{Conn: a}, &stallConn{Conn: b}
	client, provider := sessionsOver(t, sa, sb, Options{PingAfter: 50 * time.Millisecond, DeadAfter: 300 * time.Millisecond})
	c, p := streamPair(t, client, provider)
	sa.stalled.Store(true)
	sb.stalled.Store(true)
	for name, st := range map[string]*Stream{"client": c, "provider": p} {
		within(t, patience, name, func() {
			if _, err := st.Read(make([]byte, 1)); !errors.Is(err, ErrSilent) || !errors.Is(err, ErrSessionLost) {
				t.Errorf("%s: %v, want ErrSilent within ErrSessionLost", name, err)
			}
		})
	}
}

func TestPingsKeepAnIdleSession(t *testing.T) {
	o := Options{PingAfter: 20 * time.Millisecond, DeadAfter: 200 * time.Millisecond}
	client, provider := sessionPair(t, o)
	select {
	case <-client.Done():
		t.Fatal(client.Err())
	case <-provider.Done():
		t.Fatal(provider.Err())
	case <-time.After(5 * o.DeadAfter): // the event is that there is none
	}
	streamPair(t, client, provider)
}

func TestTrickleKeepsALoadedSession(t *testing.T) {
	// A slow path: pings wait behind bulk data for longer than DeadAfter, but
	// bytes arrive all the time.
	a, b := tcpPair(t)
	client, provider := sessionsOver(t, &slowConn{Conn: a}, b, Options{PingAfter: 50 * time.Millisecond, DeadAfter: 400 * time.Millisecond})
	c, p := streamPair(t, client, provider)
	data := make([]byte, 400<<10)
	go c.Write(data)
	if _, err := io.ReadFull(p, make([]byte, len(data))); err != nil {
		t.Fatal(err)
	}
}

// slowConn writes 4 KiB every 10 ms.
type slowConn struct{ net.Conn }

func (c *slowConn) Write(p []byte) (int, error) {
	written := 0
	for written < len(p) {
		n, err := c.Conn.Write(p[written:min(len(p), written+4<<10)])
		written += n
		if err != nil {
			return written, err
		}
		<-time.After(10 * time.Millisecond)
	}
	return written, nil
}

func TestCloseIsBoundedWithAStuckPeer(t *testing.T) {
	a, b := tcpPair(t)
	defer b.Close()
	config := testTLS().Clone()
	config.NextProtos = []string{Protocol}
	shaken := make(chan error, 1)
	go func() { shaken <- tls.Server(b, config).HandshakeContext(t.Context()) }()
	client, err := Client(t.Context(), a, testTLS(), Options{})
	if err := errors.Join(err, <-shaken); err != nil {
		t.Fatal(err)
	}
	// The peer has shaken hands and reads nothing from here on.
	c, err := client.Open(Open{Link: "x"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	var streams []*Stream
	failed := make(chan error)
	for range 64 { // together more than the socket's buffers hold
		st, err := client.Open(Open{Link: "x"}, nil)
		if err != nil {
			t.Fatal(err)
		}
		streams = append(streams, st)
	}
	for _, st := range streams {
		go func() {
			_, err := st.Write(make([]byte, 1<<20))
			failed <- err
		}()
	}
	eventually(t, "the carrier is stuck", func() bool {
		client.out.mu.Lock()
		defer client.out.mu.Unlock()
		return client.out.bulk != nil && len(client.out.bulk.bytes) >= client.out.quantum
	})
	within(t, closeWithin+patience/2, "Close", func() { client.Close() })
	for range streams {
		if err := <-failed; !errors.Is(err, ErrSessionLost) {
			t.Fatal(err)
		}
	}
	if _, err := c.Read(nil); !errors.Is(err, ErrSessionLost) {
		t.Fatal(err)
	}
}

func TestRoundTripCanBeAskedFor(t *testing.T) {
	client, provider := sessionPair(t, Options{})
	for side, s := range map[string]*Session{"client": client, "provider": provider} {
		eventually(t, side+" has measured", func() bool { return s.RTT() > 0 && s.RTT() < patience })
		// What is old is measured again when somebody asks, and not before.
		s.life.mu.Lock()
		id := s.life.pingID
		s.life.mu.Unlock()
		pings := func() uint32 {
			s.life.mu.Lock()
			defer s.life.mu.Unlock()
			return s.life.pingID - id
		}
		eventually(t, side+" has done its first pings", func() bool { id = firstPings; return pings() == 0 })
		s.RTT()
		if n := pings(); n != 0 {
			t.Errorf("%s: %d pings for what is fresh", side, n)
		}
		s.life.mu.Lock()
		s.life.pinged = s.life.pinged.Add(-2 * measureAfter)
		s.life.mu.Unlock()
		s.life.measured.Store(s.life.now() - 2*int64(measureAfter))
		s.RTT()
		s.RTT()
		if n := pings(); n != 1 {
			t.Errorf("%s: %d pings for what is old, want 1", side, n)
		}
	}
}
