package mux

import (
	"bytes"
	"errors"
	"testing"
)

// TestLastBytesAreSentBesideControlFrames: a reader frees window, or a stream is
// accepted, in the second in which Close sends what was written.
func TestLastBytesAreSentBesideControlFrames(t *testing.T) {
	var sent bytes.Buffer
	sending, goOn, bye := make(chan struct{}, 2), make(chan struct{}), false
	o := newOut(
		func(b []byte) error {
			sending <- struct{}{}
			<-goOn
			sent.Write(b)
			return nil
		},
		func() { bye = true },
		func(*frameHeader) bool { return true },
	)
	flushed := make(chan error, 1)
	go func() { flushed <- o.flush() }()
	first, last, late := makeHeader(typePing, flagSYN, 0, 1), makeHeader(typePing, flagSYN, 0, 2), makeHeader(typeWindowUpdate, 0, 3, 9)
	o.inject(first)
	<-sending
	o.inject(last) // gathers behind the first
	o.finishUp()
	if _, err := o.Write(late[:]); err != nil { // an error would have yamux cut the connection
		t.Errorf("control frame of a closing session: %v", err)
	}
	close(goOn)
	if err := <-flushed; err != nil {
		t.Fatal(err)
	}
	if want := append(first[:], last[:]...); !bytes.Equal(sent.Bytes(), want) || !bye {
		t.Fatalf("sent %x, goodbye %v; want %x and a goodbye", sent.Bytes(), bye, want)
	}
	if _, err := o.Write(late[:]); !errors.Is(err, ErrSessionLost) {
		t.Fatalf("after the end: %v", err)
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
