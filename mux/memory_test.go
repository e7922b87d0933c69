package mux

import (
	"bytes"
	"errors"
	"io"
	"testing"
)

func TestSlowestStreamPaysWhenMemoryIsUsedUp(t *testing.T) {
	shared := new(Memory)
	client, provider := sessionPair(t, Options{SessionMemory: 1600 << 10, Memory: shared})
	live, liveAt := streamPair(t, client, provider)
	// Seven readers that stopped, with a window of 256 KiB each: more than 1600 KiB.
	type end struct{ reader, writer *Stream }
	var stopped []end
	for i := range 7 {
		c, p := streamPair(t, client, provider)
		stopped = append(stopped, end{c, p})
		if _, err := p.Write(make([]byte, initialWindow-1-i)); err != nil { // 1 for the answer
			t.Fatal(err)
		}
	}
	var reset int
	eventually(t, "a stream is reset", func() bool {
		reset = 0
		for _, e := range stopped {
			if _, err := e.writer.Write(nil); e.writer.cut() && err == nil {
				reset++
			}
		}
		return reset > 0
	})
	if reset != 1 {
		t.Errorf("%d streams were reset, 1 was enough", reset)
	}
	for _, e := range stopped {
		if !e.writer.cut() {
			continue
		}
		if _, err := io.ReadAll(e.reader); !errors.Is(err, ErrMemory) {
			t.Errorf("its reader: %v, want ErrMemory", err)
		}
		if _, err := e.writer.Write([]byte("x")); !errors.Is(err, ErrReset) {
			t.Errorf("its writer: %v, want ErrReset", err)
		}
	}
	if used := client.memory.used.Load(); used > 1600<<10 {
		t.Errorf("%d bytes are held, more than the limit", used)
	}
	go liveAt.Write(bytes.Repeat([]byte("x"), 4<<20))
	if _, err := io.ReadFull(live, make([]byte, 4<<20)); err != nil {
		t.Errorf("another stream: %v", err)
	}
	for _, e := range stopped {
		e.reader.Reset("test")
	}
	live.Reset("test")
	eventually(t, "all memory is given back", func() bool {
		return client.memory.used.Load() == 0 && client.memory.grown.Load() == 0
	})
	provider.Close()
	client.Close()
	if used := shared.Used(); used != 0 {
		t.Errorf("%d bytes are still counted", used)
	}
}

func TestManySmallFramesDoNotHoldABufferEach(t *testing.T) {
	client, provider := sessionPair(t, Options{})
	c, p := streamPair(t, client, provider)
	for range 2000 {
		if _, err := p.Write([]byte("0123456789")); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "all of it has arrived", func() bool {
		c.in.mu.Lock()
		defer c.in.mu.Unlock()
		n := 0
		for _, k := range c.in.chunks {
			n += len(k.unread())
		}
		return n == 20001
	})
	c.in.mu.Lock()
	defer c.in.mu.Unlock()
	if c.in.held > 2*20001 {
		t.Errorf("20001 bytes hold %d", c.in.held)
	}
}

// A reply that its peer has finished is not the whole when a part of it was thrown
// away. The peer may even be done with its stream by then, and its session gone: what
// is held counts, and whoever holds it pays.
func TestUnreadRepliesPayAndDoNotLookComplete(t *testing.T) {
	for name, end := range map[string]func(client, provider *Session, c, p *Stream){
		"the peer has finished": func(_, _ *Session, _, p *Stream) { p.CloseWrite() },
		"both have": func(_, _ *Session, c, p *Stream) {
			c.CloseWrite()
			p.CloseWrite()
		},
		"the session has ended": func(_, provider *Session, _, p *Stream) {
			p.CloseWrite()
			provider.Close()
		},
	} {
		t.Run(name, func(t *testing.T) {
			shared := &Memory{Limit: 300 << 10}
			client, provider := sessionPair(t, Options{Memory: shared})
			c, p := streamPair(t, client, provider)
			if _, err := p.Write(make([]byte, initialWindow-1)); err != nil {
				t.Fatal(err)
			}
			end(client, provider, c, p)
			eventually(t, "all of it is there, and its end", func() bool {
				c.mu.Lock()
				defer c.mu.Unlock()
				return c.gotFIN
			})
			held := shared.Used()
			if held < initialWindow/2 {
				t.Fatalf("%d bytes are held", held)
			}
			// Another session's reader stops too, with less.
			other, otherProvider := sessionPair(t, Options{Memory: shared})
			o, op := streamPair(t, other, otherProvider)
			if _, err := op.Write(make([]byte, 100<<10)); err != nil {
				t.Fatal(err)
			}
			eventually(t, "all of it has arrived", func() bool {
				o.in.mu.Lock()
				defer o.in.mu.Unlock()
				return o.in.held >= 100<<10
			})
			eventually(t, "the limit is kept", func() bool { return shared.Used() <= shared.Limit })
			if got, err := io.ReadAll(c); !errors.Is(err, ErrMemory) {
				t.Errorf("%d bytes, then %v; want ErrMemory", len(got), err)
			}
			op.CloseWrite()
			if got, err := io.ReadAll(o); err != nil || len(got) != 100<<10 {
				t.Errorf("the other: %d bytes, %v", len(got), err)
			}
			for _, st := range []*Stream{c, p, o, op} {
				st.Reset("test")
			}
			for _, s := range []*Session{client, provider, other, otherProvider} {
				s.Close()
			}
			if used := shared.Used(); used != 0 {
				t.Errorf("%d bytes are still counted", used)
			}
			shared.mu.Lock()
			defer shared.mu.Unlock()
			if n := len(shared.sessions); n != 0 {
				t.Errorf("%d sessions are still known", n)
			}
		})
	}
}

// Nothing is kept of streams whose bytes were read.
func TestReadStreamsAreForgotten(t *testing.T) {
	client, provider := sessionPair(t, Options{})
	for range 20 {
		c, p := streamPair(t, client, provider)
		if _, err := p.Write(make([]byte, 10_000)); err != nil {
			t.Fatal(err)
		}
		p.CloseWrite()
		c.CloseWrite()
		if got, err := io.ReadAll(c); err != nil || len(got) != 10_000 {
			t.Fatalf("%d bytes, %v", len(got), err)
		}
		io.ReadAll(p)
		c.Close()
		p.Close()
	}
	for _, s := range []*Session{client, provider} {
		s.mu.Lock()
		if n := len(s.unread); n != 0 {
			t.Errorf("%d streams are still held", n)
		}
		s.mu.Unlock()
	}
}
