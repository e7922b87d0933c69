package mux

import (
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"time"
)

// farConn is a path with a delay and no other limit.
type farConn struct {
	net.Conn
	queue chan delayed
	once  sync.Once
	done  chan struct{}
}

type delayed struct {
	due   time.Time
	bytes []byte
}

func newFarConn(c net.Conn) *farConn {
	f := &farConn{Conn: c, queue: make(chan delayed, 4096), done: make(chan struct{})}
	go func() {
		for {
			select {
			case d := <-f.queue:
				<-time.After(time.Until(d.due))
				if _, err := f.Conn.Write(d.bytes); err != nil {
					return
				}
			case <-f.done:
				return
			}
		}
	}()
	return f
}

func (f *farConn) Write(p []byte) (int, error) {
	select {
	case f.queue <- delayed{time.Now().Add(20 * time.Millisecond), append([]byte(nil), p...)}:
		return len(p), nil
	case <-f.done:
		return 0, net.ErrClosed
	}
}

func (f *farConn) Close() error {
	f.once.Do(func() { close(f.done) })
	return f.Conn.Close()
}

func TestWindowGrowsWithTheRoundTrip(t *testing.T) {
	a, b := tcpPair(t)
	client, provider := sessionsOver(t, newFarConn(a), newFarConn(b), Options{})
	c, p := streamPair(t, client, provider)
	const size = 96 << 20
	go func() {
		p.Write(make([]byte, size))
		p.CloseWrite()
	}()
	if n, err := io.Copy(io.Discard, c); n != size || err != nil {
		t.Fatalf("%d bytes, %v", n, err)
	}
	if rtt := client.life.roundTrip(); rtt < 40*time.Millisecond {
		t.Errorf("round trip of %v, the path's is 40 ms", rtt)
	}
	c.in.mu.Lock()
	grown := c.in.window.size
	c.in.mu.Unlock()
	if grown < 4*easyWindow {
		t.Errorf("window of %d bytes at the end", grown)
	}
}

func TestWindowStaysSmallForAReaderThatIsSlow(t *testing.T) {
	s := &Session{}
	s.life = newLiveness(s, time.Hour, time.Hour)
	s.life.rtt.Store(int64(time.Millisecond))
	s.memory = memory{s: s, limit: defaultSessionMemory, shared: new(Memory)}
	w := newWindow()
	read := func(ago time.Duration) {
		n := w.size / 2
		if err := w.take(n); err != nil {
			t.Fatal(err)
		}
		w.last = time.Now().Add(-ago)
		w.read(n, s)
	}
	for range 10 {
		read(time.Second)
	}
	if w.size != easyWindow {
		t.Errorf("window of %d bytes for a slow reader, want %d", w.size, easyWindow)
	}
	read(0)
	if w.size != 2*easyWindow {
		t.Errorf("window of %d bytes for a quick reader, want %d", w.size, 2*easyWindow)
	}
	for range 20 {
		read(0)
	}
	if w.size != maxWindow && s.memory.grown.Load() > s.memory.limit {
		t.Errorf("window of %d bytes, %d promised in all", w.size, s.memory.grown.Load())
	}
}

func TestMoreThanTheWindowEndsTheSession(t *testing.T) {
	s, peer := rawPeer(t, false)
	go io.Copy(io.Discard, peer)
	h := makeHeader(typeData, flagSYN, 3, initialWindow+1)
	if _, err := peer.Write(append(h[:], make([]byte, initialWindow+1)...)); err != nil && !errors.Is(err, net.ErrClosed) {
		t.Log(err) // the session may end before all is written
	}
	within(t, patience, "the session ends", func() { <-s.Done() })
	if err := s.Err(); !errors.Is(err, ErrProtocol) {
		t.Fatal(err)
	}
}
