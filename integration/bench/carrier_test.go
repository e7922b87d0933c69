package main

import (
	"bytes"
	"crypto/rand"
	"errors"
	"io"
	"net"
	"syscall"
	"testing"
	"time"
)

// trip is long enough that the machine's own time does not matter.
const trip = 300 * time.Millisecond

// carried is a connection through a carrier, with both its ends.
func carried(t *testing.T) (near, far *net.TCPConn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := startCarrier(l.Addr().String(), trip)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.stop(); err != nil {
			t.Error(err)
		}
	})
	a, err := net.Dial("tcp", c.l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	b, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close(); b.Close() })
	return a.(*net.TCPConn), b.(*net.TCPConn)
}

// passes writes at one end and returns how long the bytes were under way.
func passes(t *testing.T, from, to net.Conn, message []byte) time.Duration {
	t.Helper()
	began := time.Now()
	sent := make(chan error, 1)
	go func() {
		_, err := from.Write(message)
		sent <- err
	}()
	got := make([]byte, len(message))
	if _, err := io.ReadFull(to, got); err != nil {
		t.Fatal(err)
	}
	took := time.Since(began)
	if err := <-sent; err != nil || !bytes.Equal(got, message) {
		t.Fatalf("bytes arrive changed, or writing failed: %v", err)
	}
	return took
}

func TestCarrierTakesHalfARoundTripEachWay(t *testing.T) {
	near, far := carried(t)
	if took := passes(t, near, far, []byte("first")); took < trip+trip/2-trip/10 {
		t.Errorf("the first bytes take %v: TCP's handshake of one round trip is missing", took)
	}
	for _, way := range [][2]net.Conn{{far, near}, {near, far}} {
		if took := passes(t, way[0], way[1], []byte("then")); took < trip/2 || took > trip {
			t.Errorf("bytes take %v, expected about %v", took, trip/2)
		}
	}
}

func TestCarrierDoesNotLimitTheRate(t *testing.T) {
	near, far := carried(t)
	message := make([]byte, 32<<20)
	if _, err := rand.Read(message); err != nil {
		t.Fatal(err)
	}
	// With one buffer of 128 KiB a trip it would be 50 s.
	if took := passes(t, far, near, message); took < trip/2 || took > 10*time.Second {
		t.Errorf("32 MiB take %v", took)
	}
}

func TestCarrierPassesAnEndOnBehindTheBytes(t *testing.T) {
	near, far := carried(t)
	if _, err := near.Write([]byte("all")); err != nil {
		t.Fatal(err)
	}
	if err := near.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(far); err != nil || string(got) != "all" {
		t.Fatalf("the other end reads %q, %v", got, err)
	}
	if took := passes(t, far, near, []byte("reply")); took < trip/2 {
		t.Errorf("the other direction takes %v", took)
	}
}

func TestCarrierPassesAResetOn(t *testing.T) {
	near, far := carried(t)
	passes(t, near, far, []byte("hello"))
	reset(far)
	if _, err := near.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the other end reads %v, expected a reset", err)
	}
}
