package mux

import (
	"io"
	"net"
	"sync"
	"testing"
	"time"
)

// TestWireTakesRecordsOfTheReader: crypto/tls writes from the goroutine that
// reads too: alerts, and the answer to a KeyUpdate (RFC 8446 §4.6.3), for which
// any peer may ask.
func TestWireTakesRecordsOfTheReader(t *testing.T) {
	a, b := net.Pipe()
	w := newWire(a)
	w.cork(time.Second)
	const each, size = 2000, 300
	got := make(chan int64, 1)
	go func() {
		n, _ := io.Copy(io.Discard, b)
		got <- n
	}()
	var both sync.WaitGroup
	for range 2 {
		both.Go(func() {
			for range each {
				if _, err := w.Write(make([]byte, size)); err != nil {
					t.Error(err)
				}
				if err := w.flush(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	both.Wait()
	a.Close()
	if n := <-got; n != 2*each*size {
		t.Fatalf("%d bytes arrived, want %d", n, 2*each*size)
	}
}

func TestCloseSaysGoodbye(t *testing.T) {
	s, peer := rawPeer(t, false)
	var accepted frameHeader // the control stream's, and nothing else is sent
	if _, err := io.ReadFull(peer, accepted[:]); err != nil {
		t.Fatal(err)
	}
	s.Close()
	rest, err := io.ReadAll(peer.NetConn()) // crypto/tls takes an end without an alert for a clean one
	const alertRecord = 5 + 2 + 1 + 16      // header, alert, inner type, tag (RFC 8446 §5.2)
	if err != nil || len(rest) != alertRecord {
		t.Fatalf("%d bytes and %v after Close, want close_notify in %d", len(rest), err, alertRecord)
	}
}
