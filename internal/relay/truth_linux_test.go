package relay

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// awaitEvent waits until the kernel shows one of the events on c, without
// reading or writing.
func awaitEvent(t testing.TB, c *net.TCPConn, events int16, limit time.Duration) {
	t.Helper()
	raw, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	raw.Control(func(fd uintptr) {
		p := []unix.PollFd{{Fd: int32(fd), Events: events}}
		for end := time.Now().Add(limit); p[0].Revents&events == 0; {
			left := time.Until(end)
			if left <= 0 {
				t.Fatalf("no event %#x in %v", events, limit)
			}
			if _, err := unix.Poll(p, int(left.Milliseconds())+1); err != nil && err != unix.EINTR {
				t.Fatal(err)
			}
		}
	})
}

// awaitAcked waits until the peer's kernel has every byte that c has written.
func awaitAcked(t testing.TB, c *net.TCPConn) {
	t.Helper()
	raw, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	e := &TCPEnd{conn: c, raw: raw}
	e.drain(late)
	if n := e.writeQueue(); n > 0 {
		t.Fatalf("%d bytes not acknowledged", n)
	}
}

// fill writes until the path takes no more.
func fill(t testing.TB, c *net.TCPConn) {
	t.Helper()
	chunk := make([]byte, 64<<10)
	for {
		c.SetWriteDeadline(time.Now().Add(200 * time.Millisecond))
		if _, err := c.Write(chunk); errors.Is(err, os.ErrDeadlineExceeded) {
			return
		} else if err != nil {
			t.Fatal(err)
		}
	}
}

func TestResetReachesAStoppedReader(t *testing.T) {
	t.Parallel()
	t.Run("TCP", func(t *testing.T) {
		consumer, backend, r := tcpRelay(t, Options{})
		backend.SetReadBuffer(4 << 10)
		fill(t, consumer)
		rst(t, consumer)
		awaitEvent(t, backend, unix.POLLERR, replyStallLimit+soon)
		// Nobody could read the error, and it is told all the same.
		if res := r.wantReason(t, AReset); !errors.Is(res.Err, syscall.ECONNRESET) {
			t.Errorf("error %v", res.Err)
		}
	})
	t.Run("stream", func(t *testing.T) {
		consumer, a := tcpPair(t)
		b, _ := newPipe(10)
		r := start(t, TCP(a), b, Options{})
		fill(t, consumer)
		now := time.Now()
		rst(t, consumer)
		r.wantReason(t, AReset)
		if d := time.Since(now); d > replyStallLimit+soon {
			t.Errorf("took %v", d)
		}
		if !b.wasReset() {
			t.Error("the stream was not reset")
		}
	})
}

func TestResetAfterFINIsPassedOn(t *testing.T) {
	t.Run("TCP", func(t *testing.T) {
		consumer, backend, r := tcpRelay(t, Options{})
		consumer.CloseWrite()
		wantEOF(t, backend)
		rst(t, consumer)
		awaitEvent(t, backend, unix.POLLERR, stallLimit/2) // nothing to wait for
		r.wantReason(t, AReset)
	})
	t.Run("stream", func(t *testing.T) {
		consumer, a := tcpPair(t)
		b, backend := newPipe(10)
		r := start(t, TCP(a), b, Options{})
		consumer.CloseWrite()
		if _, err := backend.Read(make([]byte, 1)); err != io.EOF {
			t.Fatal(err)
		}
		rst(t, consumer)
		r.wantReason(t, AReset)
		if !b.wasReset() {
			t.Error("the stream was not reset")
		}
	})
}

func TestReplyThenResetDeliversEveryByte(t *testing.T) {
	for _, kind := range []string{"from TCP", "from a stream"} {
		t.Run(kind, func(t *testing.T) {
			consumer, a := tcpPair(t)
			consumer.SetReadBuffer(16 << 10) // so that most of the reply waits in the relay's send queue
			a.SetWriteBuffer(1 << 20)
			reply := randomBytes(150_000)
			var r *running
			if kind == "from TCP" {
				b, backend := tcpPair(t)
				r = start(t, TCP(a), TCP(b), Options{})
				send(t, backend, reply)
				awaitAcked(t, backend)
				rst(t, backend)
			} else {
				b, backend := newPipe(1 << 20)
				r = start(t, TCP(a), b, Options{})
				send(t, backend, reply)
				backend.Reset("")
				b.abortSilently(errFakeReset)
			}
			for _, ba := r.Bytes(); ba < int64(len(reply)); _, ba = r.Bytes() {
				receivePart(t, consumer, &reply, 1000)
			}
			receive(t, consumer, reply)
			consumer.SetReadDeadline(time.Now().Add(late))
			if n, err := consumer.Read(make([]byte, 1)); n != 0 || !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("then %d bytes, %v; want ECONNRESET", n, err)
			}
			r.wantReason(t, BReset)
		})
	}
}

// receivePart reads up to n of the bytes that are wanted.
func receivePart(t testing.TB, c net.Conn, want *[]byte, n int) {
	t.Helper()
	c.SetReadDeadline(time.Now().Add(late))
	got := make([]byte, n)
	n, err := c.Read(got)
	if err != nil || !bytes.HasPrefix(*want, got[:n]) {
		t.Fatalf("%d bytes before the end: %v", len(*want), err)
	}
	*want = (*want)[n:]
}

// A write that comes first takes the error of a reset, and the kernel then shows
// a reader a clean end.
func TestResetTakenByAWriterIsNoEOF(t *testing.T) {
	spent := func(t *testing.T) *TCPEnd {
		peer, c := tcpPair(t)
		e := TCP(c)
		rst(t, peer)
		awaitEvent(t, c, unix.POLLHUP, soon)
		if _, err := e.Write([]byte("x")); err == nil {
			t.Fatal("a write after the reset went well")
		}
		return e
	}
	t.Run("read", func(t *testing.T) {
		if n, err := spent(t).Read(make([]byte, 1)); n != 0 || !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("read %d, %v; want ECONNRESET", n, err)
		}
	})
	t.Run("relay's read", func(t *testing.T) {
		if err := newSource(spent(t), nil, new(atomic.Int64), nil).wait(); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("wait: %v; want ECONNRESET", err)
		}
	})
	t.Run("AfterAbort", func(t *testing.T) {
		e := spent(t)
		defer e.Close()
		told := make(chan error, 1)
		e.AfterAbort(func(err error) { told <- err })
		wantTold(t, told)
	})
}

func TestOrderlyEndIsEOF(t *testing.T) {
	peer, c := tcpPair(t)
	e := TCP(c)
	if err := e.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	wantEOF(t, peer)
	peer.Close()
	awaitEvent(t, c, unix.POLLHUP, soon) // closed both ways, and in order
	if err := newSource(e, nil, new(atomic.Int64), nil).wait(); err != io.EOF {
		t.Errorf("wait: %v; want EOF", err)
	}
}

func wantTold(t testing.TB, told <-chan error) {
	t.Helper()
	select {
	case err := <-told:
		if err != ErrPeerAborted {
			t.Errorf("told %v", err)
		}
	case <-time.After(soon):
		t.Error("the abort was not told")
	}
}

func TestAfterAbort(t *testing.T) {
	t.Run("tells a reset, once, to all", func(t *testing.T) {
		peer, c := tcpPair(t)
		e := TCP(c)
		told := make(chan error, 3)
		f := func(err error) { told <- err }
		stop := e.AfterAbort(f)
		e.AfterAbort(f)
		rst(t, peer)
		wantTold(t, told)
		wantTold(t, told)
		if stop() {
			t.Error("stop says that it kept f from running")
		}
		e.AfterAbort(f) // late
		wantTold(t, told)
	})
	t.Run("leaves the error to the reader", func(t *testing.T) {
		peer, c := tcpPair(t)
		e := TCP(c)
		told := make(chan error, 1)
		e.AfterAbort(func(err error) { told <- err })
		rst(t, peer)
		wantTold(t, told)
		wantReset(t, c, time.Now())
	})
	t.Run("tells a reset that came before", func(t *testing.T) {
		peer, c := tcpPair(t)
		e := TCP(c)
		rst(t, peer)
		awaitEvent(t, c, unix.POLLERR, soon)
		told := make(chan error, 1)
		e.AfterAbort(func(err error) { told <- err })
		wantTold(t, told)
	})
	t.Run("keeps quiet about the rest", func(t *testing.T) {
		// A later reset of another connection shows that earlier events were seen.
		fence := func() {
			peer, c := tcpPair(t)
			e := TCP(c)
			told := make(chan error, 1)
			e.AfterAbort(func(err error) { told <- err })
			rst(t, peer)
			wantTold(t, told)
			e.Close()
		}
		wrong := make(chan string, 10)
		watch := func(e *TCPEnd, what string) (stop func() bool) {
			return e.AfterAbort(func(error) { wrong <- what })
		}
		peer, c := tcpPair(t)
		e := TCP(c)
		stop := watch(e, "stopped")
		if !stop() || stop() {
			t.Error("stop answers wrongly")
		}
		rst(t, peer)

		peer, c = tcpPair(t)
		e = TCP(c)
		watch(e, "orderly end")
		peer.Close()
		awaitEvent(t, c, unix.POLLIN, soon)
		e.CloseWrite()
		awaitEvent(t, c, unix.POLLHUP, soon)

		peer, c = tcpPair(t)
		e = TCP(c)
		watch(e, "closed here")
		e.Close()
		rst(t, peer)

		peer, c = tcpPair(t)
		e = TCP(c)
		watch(e, "reset here")
		e.Reset("")
		peer.Close()

		fence()
		select {
		case what := <-wrong:
			t.Errorf("called for: %s", what)
		default:
		}
	})
	t.Run("can be asked for again", func(t *testing.T) {
		peer, c := tcpPair(t)
		e := TCP(c)
		told := make(chan error, 1)
		for range 3 {
			e.AfterAbort(func(error) { t.Error("called after stop") })()
		}
		e.AfterAbort(func(err error) { told <- err })
		rst(t, peer)
		wantTold(t, told)
	})
	t.Run("knows a descriptor that is used again", func(t *testing.T) {
		for range 50 {
			_, old := tcpPair(t)
			TCP(old).AfterAbort(func(error) { t.Error("called for a connection that was closed") })
			old.Close() // behind the end's back: it leaves the kernel's list only
			peer, c := tcpPair(t)
			e := TCP(c)
			told := make(chan error, 1)
			e.AfterAbort(func(err error) { told <- err })
			rst(t, peer)
			wantTold(t, told)
		}
		// Those that were closed behind their backs are still listed.
		watched.mu.Lock()
		clear(watched.ends)
		_ = watched.file.SetReadDeadline(time.Unix(1, 0))
		watched.mu.Unlock()
	})
}

// The watching goroutine comes and goes with registrations from many sides.
func TestAfterAbortFromManyGoroutines(t *testing.T) {
	done := make(chan bool)
	for range 4 {
		go func() {
			defer func() { done <- true }()
			for i := range 50 {
				peer, c := tcpPair(t)
				e := TCP(c)
				told := make(chan error, 1)
				stop := e.AfterAbort(func(err error) { told <- err })
				if i%2 == 0 {
					stop()
					e.Close()
					continue
				}
				peer.SetLinger(0)
				peer.Close()
				wantTold(t, told)
				e.Close()
			}
		}()
	}
	for range 4 {
		<-done
	}
}

// A reader in bursts takes nothing for longer than a lost connection is given,
// and still gets every byte of a reply that was reset behind.
func TestResetReplyWaitsForAReaderInBursts(t *testing.T) {
	consumer, backend, r := tcpRelay(t, Options{})
	consumer.SetReadBuffer(64 << 10)
	reply := make([]byte, 1<<20)
	sent := make(chan error, 1)
	go func() {
		_, err := backend.Write(reply)
		sent <- err
	}()
	burst := time.NewTicker(stallLimit + stallLimit/2)
	defer burst.Stop()
	got, buf := 0, make([]byte, 384<<10)
	reset := false
	for {
		n, err := io.ReadFull(consumer, buf)
		got += n
		if err != nil {
			if !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("ended with %v", err)
			}
			break
		}
		if !reset {
			reset = true
			if err := <-sent; err != nil {
				t.Fatal(err)
			}
			rst(t, backend)
		}
		<-burst.C
	}
	if got != len(reply) {
		t.Errorf("%d bytes of %d", got, len(reply))
	}
	r.wantReason(t, BReset)
}

// The kernel says once why a connection broke. When it said so to a write that was
// only tried, the write that follows still tells.
func TestTriedWriteKeepsTheKernelsError(t *testing.T) {
	peer, c := tcpPair(t)
	e := TCP(c)
	defer e.Reset("test")
	rst(t, peer)
	awaitEvent(t, c, unix.POLLERR, late)
	if n := e.tryWrite([]byte("x")); n != 0 {
		t.Fatalf("%d bytes were taken", n)
	}
	for range 2 {
		if _, err := e.Write([]byte("x")); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("%v, want the reset", err)
		}
	}
}
