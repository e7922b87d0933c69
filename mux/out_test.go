package mux

import (
	"bytes"
	"errors"
	"testing"
)

// held is an out whose writes wait for the test.
type held struct {
	*out
	sending chan struct{} // a write has begun
	goOn    chan struct{} // lets it, once closed, and all that follow go on
	sent    bytes.Buffer
	bye     bool
	flushed chan error
}

func newHeld() *held {
	h := &held{sending: make(chan struct{}, 8), goOn: make(chan struct{}), flushed: make(chan error, 1)}
	h.out = newOut(func(urgent, bulk []byte) error {
		h.sending <- struct{}{}
		<-h.goOn
		h.sent.Write(urgent)
		h.sent.Write(bulk)
		return nil
	}, func() { h.bye = true }, func(bool) {})
	go func() { h.flushed <- h.flush() }()
	return h
}

func TestWhatWasGatheredIsSentBeforeTheGoodbye(t *testing.T) {
	h := newHeld()
	first, last, late := makeHeader(typePing, flagSYN, 0, 1), makeHeader(typePing, flagSYN, 0, 2), makeHeader(typeWindowUpdate, 0, 3, 9)
	h.control(nil, first)
	<-h.sending
	h.control(nil, last) // gathers behind the first
	h.finishUp()
	if err := h.control(nil, late); !errors.Is(err, ErrSessionLost) {
		t.Errorf("control frame of a closing session: %v", err)
	}
	close(h.goOn)
	if err := <-h.flushed; err != nil {
		t.Fatal(err)
	}
	if want := append(first[:], last[:]...); !bytes.Equal(h.sent.Bytes(), want) || !h.bye {
		t.Fatalf("sent %x, goodbye %v; want %x and a goodbye", h.sent.Bytes(), h.bye, want)
	}
}

// order is the streams whose data frames stand in b.
func order(b []byte) (ids []uint32) {
	for len(b) > 0 {
		h := (*frameHeader)(b)
		ids = append(ids, h.stream())
		b = b[headerSize+h.body():]
	}
	return ids
}

func TestSmallWritesOvertakeBulkButNeverTheirOwnStream(t *testing.T) {
	h := newHeld()
	s := &Session{out: h.out, life: newLiveness(nil, 0, 0)}
	bulk, small := newStream(s, 1), newStream(s, 3)
	h.control(nil, makeHeader(typePing, flagSYN, 0, 1))
	<-h.sending // everything below gathers
	for _, w := range []struct {
		st *Stream
		n  int
	}{{bulk, 2 * smallWrite}, {small, 10}, {bulk, 10}, {small, 20}} {
		if err := h.data(w.st, 0, nil, make([]byte, w.n)); err != nil {
			t.Fatal(err)
		}
	}
	h.control(bulk, makeHeader(typeWindowUpdate, flagFIN, 1, 0))
	h.control(small, makeHeader(typeWindowUpdate, flagFIN, 3, 0))
	close(h.goOn)
	h.finishUp()
	<-h.flushed
	got := order(h.sent.Bytes())
	want := []uint32{0, 3, 3, 3, 1, 1, 1}
	if len(got) != len(want) {
		t.Fatalf("%v, want %v", got, want)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Fatalf("%v, want %v", got, want)
		}
	}
}

func TestNoStreamIsOpenedOnAClosingSession(t *testing.T) {
	client, _ := sessionPair(t, Options{})
	client.out.mu.Lock()
	client.out.finish = true // as Close does, before the flusher has seen it
	client.out.mu.Unlock()
	if _, err := client.Open(Open{Link: "x"}, nil); !errors.Is(err, ErrSessionLost) {
		t.Fatalf("%v, want ErrSessionLost", err)
	}
}
