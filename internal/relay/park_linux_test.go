package relay

import (
	"net"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// awaitParked waits until nobody waits for the end in a goroutine. It looks at the
// awake itself rather than wait for their timer.
func awaitParked(t testing.TB, ends ...*TCPEnd) {
	t.Helper()
	for limit := time.Now().Add(late); ; runtime.Gosched() {
		parked := 0
		for _, e := range ends {
			e.mu.Lock()
			if e.parked != nil {
				parked++
			}
			e.mu.Unlock()
		}
		if parked == len(ends) {
			return
		}
		if time.Now().After(limit) {
			t.Fatalf("%d of %d ends are parked", parked, len(ends))
		}
		rouses.look()
	}
}

// parkedRelay is a relay that has carried bytes both ways and idles.
func parkedRelay(t testing.TB, o Options) (consumer, backend *net.TCPConn, a, b *TCPEnd, r *running) {
	t.Helper()
	consumer, ca := tcpPair(t)
	cb, backend := tcpPair(t)
	a, b = TCP(ca), TCP(cb)
	r = start(t, a, b, o)
	send(t, consumer, []byte("ping"))
	receive(t, backend, []byte("ping"))
	send(t, backend, []byte("pong"))
	receive(t, consumer, []byte("pong"))
	awaitParked(t, a, b)
	return consumer, backend, a, b, r
}

func TestParkedRelaysHoldNoGoroutine(t *testing.T) {
	before := runtime.NumGoroutine()
	const relays = 50
	for range relays {
		parkedRelay(t, Options{})
	}
	// Each test relay has one goroutine of the test's.
	limit := time.Now().Add(late)
	for runtime.NumGoroutine() > before+relays+5 {
		if time.Now().After(limit) {
			t.Fatalf("%d goroutines for %d parked relays", runtime.NumGoroutine()-before-relays, relays)
		}
		runtime.Gosched()
	}
}

func TestParkedRelay(t *testing.T) {
	t.Run("bytes-pass-again-and-again", func(t *testing.T) {
		consumer, backend, a, b, r := parkedRelay(t, Options{})
		for range 20 {
			send(t, consumer, []byte("again"))
			receive(t, backend, []byte("again"))
			send(t, backend, []byte("and back"))
			receive(t, consumer, []byte("and back"))
			awaitParked(t, a, b)
		}
		consumer.Close()
		backend.Close()
		r.wait(t)
	})
	// Also while it is spliced: a destination that is slow is no source that idles.
	t.Run("bulk-is-exact", func(t *testing.T) {
		consumer, backend, _, _, _ := parkedRelay(t, Options{})
		block := randomBytes(8 << 20)
		go consumer.Write(block)
		receive(t, backend, block)
	})
	t.Run("half-close-keeps-reply-flowing", func(t *testing.T) {
		consumer, backend, _, b, r := parkedRelay(t, Options{})
		consumer.CloseWrite()
		wantEOF(t, backend)
		awaitParked(t, b)
		send(t, backend, []byte("the reply"))
		receive(t, consumer, []byte("the reply"))
		backend.Close()
		wantEOF(t, consumer)
		r.wantReason(t, AClosed)
	})
	t.Run("bytes-and-FIN-at-once", func(t *testing.T) {
		consumer, backend, _, _, r := parkedRelay(t, Options{})
		send(t, backend, []byte("last words"))
		backend.CloseWrite()
		receive(t, consumer, []byte("last words"))
		wantEOF(t, consumer)
		consumer.Close()
		r.wantReason(t, BClosed)
	})
	t.Run("reset-is-passed-on", func(t *testing.T) {
		consumer, backend, _, _, r := parkedRelay(t, Options{})
		since := time.Now()
		rst(t, consumer)
		wantReset(t, backend, since)
		r.wantReason(t, AReset)
	})
	t.Run("reset-behind-a-FIN-is-passed-on", func(t *testing.T) {
		consumer, backend, _, b, r := parkedRelay(t, Options{})
		consumer.CloseWrite()
		wantEOF(t, backend)
		awaitParked(t, b)
		rst(t, consumer)
		wantBrokenWrite(t, backend)
		r.wantReason(t, AReset)
	})
	t.Run("abort-resets-both", func(t *testing.T) {
		consumer, backend, _, _, r := parkedRelay(t, Options{})
		since := time.Now()
		r.Abort("enough")
		wantReset(t, consumer, since)
		wantReset(t, backend, since)
		r.wantReason(t, Aborted)
	})
	t.Run("half-closed-and-silent-is-reset", func(t *testing.T) {
		consumer, backend, _, _, r := parkedRelay(t, Options{HalfClosedIdle: 50 * time.Millisecond})
		consumer.CloseWrite()
		wantEOF(t, backend)
		wantReset(t, consumer, time.Now())
		r.wantReason(t, IdleHalfClosed)
	})
}

// Bytes may come at the very moment at which a source is parked.
func TestParkingLosesNoBytes(t *testing.T) {
	consumer, backend, _, _, _ := parkedRelay(t, Options{})
	stop := make(chan struct{})
	looking := make(chan struct{})
	go func() {
		defer close(looking)
		for {
			select {
			case <-stop:
				return
			default:
				rouses.look()
				runtime.Gosched()
			}
		}
	}()
	for range 3000 {
		send(t, consumer, []byte("there"))
		receive(t, backend, []byte("there"))
		send(t, backend, []byte("back"))
		receive(t, consumer, []byte("back"))
	}
	close(stop)
	<-looking
}

// TestReservedWatchNeedsNoDescriptor: what was reserved in time watches and parks
// when descriptors have run out, and what was not cannot.
func TestReservedWatchNeedsNoDescriptor(t *testing.T) {
	_, c := tcpPair(t)
	raw, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	e := &TCPEnd{conn: c, raw: raw} // not TCP's, which the process's own watcher gets
	var reserved, other watcher
	reserved.reserve()
	defer reserved.file.Close()

	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	none := unix.Rlimit{Cur: 1, Max: limit.Max} // of those there are none is taken away
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &none); err != nil {
		t.Fatal(err)
	}
	id, without := reserved.add(e), other.add(e)
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	if without != 0 {
		t.Error("one that has reserved nothing watches: descriptors have not run out")
	}
	if id == 0 {
		t.Fatal("not watched")
	}
	e.watchID = id
	reserved.remove(e)
	e.watchID = 0
}
