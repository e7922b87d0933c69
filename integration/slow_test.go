package integration

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"time"
)

// Slow readers are no attack: each gets all of its bytes, however many they are.
func TestManySlowReadersLoseNothing(t *testing.T) {
	const readers, size = 150, 2 << 20
	b := newBackend(t)
	p := startPair(t, b.addr, pairOptions{})
	data := random(size)
	var served sync.WaitGroup
	served.Go(func() {
		for range readers {
			c := <-b.conns
			served.Go(func() {
				defer c.Close()
				c.Write(data)
			})
		}
	})
	pace := time.NewTicker(50 * time.Millisecond)
	defer pace.Stop()
	var turn sync.Mutex // readers wait for the same tick, one after the other's
	failed := make(chan error, readers)
	for range readers {
		go func() { failed <- readSlowly(p.entry, data, pace.C, &turn) }()
	}
	bad := 0
	for range readers {
		if err := <-failed; err != nil {
			bad++
			t.Log(err)
		}
	}
	served.Wait()
	if bad > 0 {
		t.Errorf("%d of %d readers lost bytes", bad, readers)
	}
}

// readSlowly reads a megabyte at a tick of everybody's clock, and checks what it
// got.
func readSlowly(entry string, want []byte, tick <-chan time.Time, turn *sync.Mutex) error {
	c, err := net.Dial("tcp", entry)
	if err != nil {
		return err
	}
	defer c.Close()
	got := make([]byte, 0, len(want))
	for len(got) < len(want) {
		turn.Lock()
		<-tick
		turn.Unlock()
		n, err := io.ReadFull(c, got[len(got):min(cap(got), len(got)+1<<20)])
		got = got[:len(got)+n]
		if err != nil {
			return fmt.Errorf("%d bytes, then %w", len(got), err)
		}
	}
	if n, err := c.Read(make([]byte, 1)); err != io.EOF {
		return fmt.Errorf("%d bytes more, %v; want a clean end", n, err)
	}
	if !bytes.Equal(got, want) {
		return fmt.Errorf("other bytes than were sent")
	}
	return nil
}
