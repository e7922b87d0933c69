package mux

import (
	"bytes"
	"errors"
	"io"
	"testing"
)

// parking is a stream whose reader is parked: what was pushed, and a word when it
// is to read.
type parking struct {
	st      *Stream
	limit   int // bytes that push takes at a time
	pushed  chan []byte
	resumed chan struct{}
}

func park(t *testing.T, st *Stream, limit int) *parking {
	t.Helper()
	p := &parking{st: st, limit: limit, pushed: make(chan []byte, 100), resumed: make(chan struct{}, 1)}
	if !st.Park(p.push, func() { p.resumed <- struct{}{} }) {
		t.Fatal("not parked, though there is nothing to read")
	}
	return p
}

func (p *parking) push(b []byte) int {
	n := min(len(b), p.limit)
	if n > 0 {
		p.pushed <- bytes.Clone(b[:n])
	}
	return n
}

func (p *parking) wantPushed(t *testing.T, want string) {
	t.Helper()
	within(t, patience, "pushing", func() {
		if got := <-p.pushed; string(got) != want {
			t.Errorf("pushed %q, want %q", got, want)
		}
	})
}

func (p *parking) wantResumed(t *testing.T) {
	t.Helper()
	within(t, patience, "resuming", func() { <-p.resumed })
}

func TestParkedReader(t *testing.T) {
	client, provider := sessionPair(t, Options{})
	t.Run("bytes-are-pushed-and-nobody-is-woken", func(t *testing.T) {
		c, p := streamPair(t, client, provider)
		parked := park(t, p, 100)
		for _, word := range []string{"one", "two", "three"} {
			c.Write([]byte(word))
			parked.wantPushed(t, word)
		}
		select {
		case <-parked.resumed:
			t.Error("resumed though all was taken")
		default:
		}
		c.CloseWrite()
		parked.wantResumed(t)
		if _, err := p.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("read %v, want EOF", err)
		}
	})
	t.Run("what-push-leaves-is-read", func(t *testing.T) {
		c, p := streamPair(t, client, provider)
		parked := park(t, p, 3)
		c.Write([]byte("abcdef"))
		parked.wantPushed(t, "abc")
		parked.wantResumed(t)
		c.Write([]byte("gh"))
		got := make([]byte, 5)
		if _, err := io.ReadFull(p, got); err != nil || string(got) != "defgh" {
			t.Errorf("read %q, %v", got, err)
		}
	})
	t.Run("not-parked-while-there-is-something-to-read", func(t *testing.T) {
		c, p := streamPair(t, client, provider)
		c.Write([]byte("x"))
		within(t, patience, "readable", func() { p.WaitReadable() })
		if p.Park(nil, func() { t.Error("resumed") }) {
			t.Error("parked on unread bytes")
		}
	})
	t.Run("reset-resumes", func(t *testing.T) {
		c, p := streamPair(t, client, provider)
		parked := park(t, p, 100)
		c.Reset("test")
		parked.wantResumed(t)
		if _, err := p.Read(make([]byte, 1)); !errors.Is(err, ErrReset) {
			t.Errorf("read %v, want ErrReset", err)
		}
	})
	t.Run("the-provider's-answer-is-not-pushed", func(t *testing.T) {
		c, p := streamPair(t, client, provider)
		parked := park(t, c, 100)
		p.Write([]byte("hello"))
		parked.wantPushed(t, "hello")
		p.Write([]byte("again"))
		parked.wantPushed(t, "again")
		p.CloseWrite()
		parked.wantResumed(t)
		if _, err := c.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("read %v, want EOF", err)
		}
	})
	t.Run("the-answer-alone-is-no-end", func(t *testing.T) {
		c, p := streamPair(t, client, provider)
		parked := park(t, c, 0)
		p.Write([]byte("hello"))
		parked.wantResumed(t)
		got := make([]byte, 5)
		if _, err := io.ReadFull(c, got); err != nil || string(got) != "hello" {
			t.Errorf("read %q, %v", got, err)
		}
	})
	t.Run("a-refusal-resumes", func(t *testing.T) {
		c, err := client.Open(Open{Link: "redis", Port: 6379}, nil)
		if err != nil {
			t.Fatal(err)
		}
		p, err := provider.Accept()
		if err != nil {
			t.Fatal(err)
		}
		parked := park(t, c, 100)
		p.Refuse(RefusedBackend, "down")
		parked.wantResumed(t)
		refused := (*RefusedError)(nil)
		if _, err := c.Read(make([]byte, 1)); !errors.As(err, &refused) || refused.Reason != "down" {
			t.Errorf("read %v, want a refusal", err)
		}
	})
	t.Run("windows-are-granted-for-what-is-pushed", func(t *testing.T) {
		c, p := streamPair(t, client, provider)
		total := 0
		resumed := make(chan struct{})
		if !p.Park(func(b []byte) int { total += len(b); return len(b) }, func() { close(resumed) }) {
			t.Fatal("not parked")
		}
		within(t, patience, "four windows", func() {
			if _, err := c.Write(make([]byte, 4*initialWindow)); err != nil {
				t.Error(err)
			}
			c.CloseWrite()
			<-resumed
		})
		if total != 4*initialWindow {
			t.Errorf("%d bytes pushed", total)
		}
	})
	t.Run("a-lost-session-resumes", func(t *testing.T) {
		_, p := streamPair(t, client, provider)
		parked := park(t, p, 100)
		client.Close()
		parked.wantResumed(t)
		if _, err := p.Read(make([]byte, 1)); !errors.Is(err, ErrSessionLost) {
			t.Errorf("read %v, want ErrSessionLost", err)
		}
	})
}
