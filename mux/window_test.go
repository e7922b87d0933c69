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

func TestWindowFollowsItsReader(t *testing.T) {
	s := &Session{}
	s.life = newLiveness(s, time.Hour, time.Hour)
	s.life.rtt.Store(int64(time.Millisecond))
	s.memory = memory{s: s, limit: defaultSessionMemory, shared: new(Memory)}
	w := newWindow()
	readFor := time.Minute // without having all
	read := func(ago time.Duration, unread int) {
		t.Helper()
		n := (w.size + 1) / 2
		if err := w.take(n); err != nil {
			t.Fatal(err)
		}
		w.last = time.Now().Add(-ago)
		w.read(n, unread, readFor, s)
	}
	check := func(who string, want int) {
		t.Helper()
		if w.size != want || s.memory.grown.Load() != int64(w.extra()) {
			t.Fatalf("%s: window of %d bytes and %d promised, want %d", who, w.size, s.memory.grown.Load(), want)
		}
	}
	for range 10 {
		read(time.Second, initialWindow/2)
	}
	check("a reader that is behind", initialWindow)
	for range 10 {
		read(time.Second, 0)
	}
	check("a reader that keeps up with a slow sender", easyWindow)
	read(0, 0)
	check("a reader that waits for the path", 2*easyWindow)
	for range 20 {
		read(0, 0)
	}
	check("a reader that waits for a long path", maxWindow)
	readFor = behindAfter
	for range 20 {
		read(0, w.size)
	}
	check("a reader of much that came at once", maxWindow)
	readFor = time.Minute
	for range 20 {
		read(0, w.size)
	}
	check("a reader that fell behind", initialWindow)
	s.memory.used.Store(s.memory.limit) // memory is short
	read(0, 0)
	check("a quick reader while memory is short", initialWindow)
	for range 5 {
		read(0, w.size)
	}
	check("a slow reader while memory is short", tightWindow)
	w.close(&s.memory)
	if n := s.memory.grown.Load(); n != 0 {
		t.Fatalf("%d bytes are still promised", n)
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

// What a window is charged for growing is what it gives back, also when it had
// shrunk below its first size.
func TestGrowthIsGivenBackWhole(t *testing.T) {
	client, _ := sessionPair(t, Options{SessionMemory: 8 << 20})
	m := &client.memory
	before := m.grown.Load()
	for range 50 {
		w := newWindow()
		m.used.Add(5 << 20) // memory is short, and the reader is behind
		for range 8 {
			w.left -= w.size / 2
			w.read(w.size/2, w.size, time.Minute, client)
		}
		m.used.Add(-5 << 20)
		if w.size >= initialWindow {
			t.Fatalf("a window of %d bytes while memory is short", w.size)
		}
		for range 8 {
			w.left -= w.size / 2
			w.read(w.size/2, 0, 0, client)
		}
		if w.size <= initialWindow {
			t.Fatalf("a window of %d bytes for a reader that keeps up", w.size)
		}
		w.close(m)
	}
	if left := m.grown.Load() - before; left != 0 {
		t.Errorf("%d bytes are charged for windows that are closed", left)
	}
}
