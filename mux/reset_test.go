package mux

import (
	"errors"
	"io"
	"testing"
)

func TestResetBringsItsWord(t *testing.T) {
	for _, word := range []string{"", "killed", "link-withdrawn", "something that has no code"} {
		for _, dir := range []string{"to the provider", "to the client"} {
			t.Run(word+" "+dir, func(t *testing.T) {
				client, provider := sessionPair(t, Options{})
				from, to := streamPair(t, client, provider)
				if dir == "to the client" {
					from, to = to, from
				}
				if _, err := from.Write([]byte("before")); err != nil {
					t.Fatal(err)
				}
				from.Reset(word)
				got, err := io.ReadAll(to)
				want := word
				if resetCode(word) == 0 {
					want = ""
				}
				if string(got) != "before" || !errors.Is(err, ErrReset) || ResetReason(err) != want {
					t.Errorf("%q, then %v with the word %q; want %q", got, err, ResetReason(err), want)
				}
			})
		}
	}
}

func TestStreamResetForItsMemorySaysSo(t *testing.T) {
	client, provider := sessionPair(t, Options{})
	c, p := streamPair(t, client, provider)
	p.exhaust()
	if _, err := c.Read(make([]byte, 1)); ResetReason(err) != "memory-limit" {
		t.Errorf("read %v", err)
	}
	if _, err := p.Read(make([]byte, 1)); !errors.Is(err, ErrMemory) || ResetReason(err) != "" {
		t.Errorf("on its own side: %v", err)
	}
}

// A later version may have words that this one does not know.
func TestResetWithAnUnknownCodeIsAReset(t *testing.T) {
	for _, code := range []uint32{0, uint32(len(resetWords)), 1 << 31} {
		s, peer := rawPeer(t, false)
		if err := errors.Join(
			writeFrame(peer, makeHeader(typeWindowUpdate, flagSYN, 3, 0)),
			writeFrame(peer, makeHeader(typeWindowUpdate, flagRST, 3, code)),
		); err != nil {
			t.Fatal(err)
		}
		st, err := s.Accept()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := st.Read(make([]byte, 1)); !errors.Is(err, ErrReset) || ResetReason(err) != "" {
			t.Errorf("code %d: %v, want ErrReset without a word", code, err)
		}
		st.mu.Lock()
		if st.credit != initialWindow {
			t.Errorf("code %d was taken for window: %d", code, st.credit)
		}
		st.mu.Unlock()
		st.Reset("done")
	}
}

// One of an earlier version, which yamux is, takes the code for window of a stream
// that is reset in the same step: interop_test.go has the rest.
func TestWordsOfResetsKeepTheirCodes(t *testing.T) {
	for word, code := range map[string]uint32{
		"consumer-reset": 1, "consumer-lost": 2, "backend-reset": 3, "backend-lost": 4, "session-lost": 5, "idle-half-closed": 6,
		"memory-limit": 7, "drain-timeout": 8, "link-withdrawn": 9, "client-denied": 10, "killed": 11, "consumer-gone": 12,
	} {
		if got := resetCode(word); got != code {
			t.Errorf("%s has code %d, and had %d", word, got, code)
		}
	}
	if len(resetWords) != 13 {
		t.Error("a word without a test")
	}
}

func TestProvidersGoodWordIsTold(t *testing.T) {
	for _, way := range []string{"read", "parked"} {
		t.Run(way, func(t *testing.T) {
			client, provider := sessionPair(t, Options{})
			c, p := streamPair(t, client, provider)
			told := make(chan struct{}, 2)
			c.AfterAnswer(func() { told <- struct{}{} })
			if way == "parked" {
				taken := make(chan struct{})
				if !c.Park(func(b []byte) int { close(taken); return len(b) }, func() {}) {
					t.Fatal("not parked")
				}
				p.Write([]byte("x"))
				<-taken
			} else {
				p.Write([]byte("x"))
				if _, err := c.Read(make([]byte, 1)); err != nil {
					t.Fatal(err)
				}
			}
			if len(told) != 1 {
				t.Errorf("told %d times", len(told))
			}
		})
	}
	t.Run("refused", func(t *testing.T) {
		client, provider := sessionPair(t, Options{})
		c, err := client.Open(Open{Link: "redis"}, nil)
		if err != nil {
			t.Fatal(err)
		}
		c.AfterAnswer(func() { t.Error("told of a refusal") })
		p, err := provider.Accept()
		if err != nil {
			t.Fatal(err)
		}
		p.Refuse(RefusedBackendTimeout, "")
		var refused *RefusedError
		if _, err := c.Read(make([]byte, 1)); !errors.As(err, &refused) || refused.Refusal != RefusedBackendTimeout {
			t.Errorf("read %v", err)
		}
	})
}
