package relay

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"runtime"
	"syscall"
	"testing"
	"time"
)

// soon bounds what the package promises within 1 s.
const soon = time.Second

// late bounds what has no promise: a test that gets there hangs.
const late = 20 * time.Second

// tcpPair gives both ends of a loopback connection.
func tcpPair(t testing.TB) (dialled, accepted *net.TCPConn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	d, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	a, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close(); a.Close() })
	return d.(*net.TCPConn), a.(*net.TCPConn)
}

// running is a relay under test and its two peers.
type running struct {
	*Relay
	result chan Result
}

func start(t testing.TB, a, b End, o Options) *running {
	t.Helper()
	r := &running{Relay: New(a, b, o), result: make(chan Result, 1)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.result <- run(r.Relay)
	}()
	t.Cleanup(func() {
		r.Abort("test over")
		<-done
	})
	return r
}

func (r *running) wait(t testing.TB) Result {
	t.Helper()
	select {
	case res := <-r.result:
		return res
	case <-time.After(late):
		t.Fatal("the relay did not end")
		return Result{}
	}
}

func (r *running) wantReason(t testing.TB, want Reason) Result {
	t.Helper()
	res := r.wait(t)
	if res.Reason != want {
		t.Errorf("reason %v (%v), want %v", res.Reason, res.Err, want)
	}
	if orderly := want == AClosed || want == BClosed; orderly != (res.Err == nil) {
		t.Errorf("reason %v with error %v", res.Reason, res.Err)
	}
	return res
}

// tcpRelay is consumer ── a (relay) b ── backend over TCP.
func tcpRelay(t testing.TB, o Options) (consumer, backend *net.TCPConn, r *running) {
	t.Helper()
	consumer, a := tcpPair(t)
	b, backend := tcpPair(t)
	return consumer, backend, start(t, TCP(a), TCP(b), o)
}

func rst(t testing.TB, c *net.TCPConn) {
	t.Helper()
	if err := c.SetLinger(0); err != nil {
		t.Fatal(err)
	}
	c.Close()
}

func send(t testing.TB, w io.Writer, b []byte) {
	t.Helper()
	if _, err := w.Write(b); err != nil {
		t.Fatal(err)
	}
}

func receive(t testing.TB, c net.Conn, want []byte) {
	t.Helper()
	c.SetReadDeadline(time.Now().Add(late))
	got := make([]byte, len(want))
	if n, err := io.ReadFull(c, got); err != nil {
		t.Fatalf("after %d of %d bytes: %v", n, len(want), err)
	}
	if !bytes.Equal(got, want) {
		t.Fatal("other bytes than were sent")
	}
}

func wantEOF(t testing.TB, c net.Conn) {
	t.Helper()
	c.SetReadDeadline(time.Now().Add(late))
	if n, err := c.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Fatalf("read %d bytes, %v; want EOF", n, err)
	}
}

// wantReset reads nothing but a reset, soon after since.
func wantReset(t testing.TB, c net.Conn, since time.Time) {
	t.Helper()
	c.SetReadDeadline(time.Now().Add(late))
	if n, err := c.Read(make([]byte, 1)); n != 0 || !errors.Is(err, syscall.ECONNRESET) {
		t.Fatalf("read %d bytes, %v; want ECONNRESET", n, err)
	}
	if d := time.Since(since); d > soon {
		t.Errorf("the reset took %v", d)
	}
}

// wantBrokenWrite is for a peer that has read FIN: a reset shows in writing.
func wantBrokenWrite(t testing.TB, c net.Conn) {
	t.Helper()
	c.SetWriteDeadline(time.Now().Add(late))
	var err error
	for err == nil {
		_, err = c.Write([]byte("x"))
	}
	if !errors.Is(err, syscall.EPIPE) && !errors.Is(err, syscall.ECONNRESET) {
		t.Fatalf("write: %v; want EPIPE or ECONNRESET", err)
	}
}

func randomBytes(n int) []byte {
	b := make([]byte, n)
	src := rand.NewChaCha8([32]byte{1})
	src.Read(b)
	return b
}

func TestHalfCloseKeepsReplyFlowing(t *testing.T) {
	consumer, backend, r := tcpRelay(t, Options{})
	send(t, consumer, []byte("request"))
	consumer.CloseWrite()
	receive(t, backend, []byte("request"))
	wantEOF(t, backend)
	for range 3 {
		send(t, backend, []byte("reply"))
		receive(t, consumer, []byte("reply"))
	}
	backend.CloseWrite()
	wantEOF(t, consumer)
	res := r.wantReason(t, AClosed)
	if res.BytesAB != 7 || res.BytesBA != 15 {
		t.Errorf("counted %d and %d bytes", res.BytesAB, res.BytesBA)
	}
}

func TestBackendClosesFirst(t *testing.T) {
	consumer, backend, r := tcpRelay(t, Options{})
	send(t, backend, []byte("bye"))
	backend.Close()
	receive(t, consumer, []byte("bye"))
	wantEOF(t, consumer)
	consumer.Close()
	r.wantReason(t, BClosed)
}

func TestBulkBothWaysIsExact(t *testing.T) {
	for _, kind := range []string{"tcp-tcp", "tcp-stream", "stream-tcp", "plain-stream"} {
		t.Run(kind, func(t *testing.T) {
			var a, b End
			var consumer, backend interface {
				io.ReadWriter
				CloseWrite() error
			}
			tcp := func() (End, *net.TCPConn) {
				c, e := tcpPair(t)
				return TCP(e), c
			}
			stream := func() (End, *pipeEnd) { e, p := newPipe(300_000); return e, p }
			switch kind {
			case "tcp-tcp":
				a, consumer = tcp()
				b, backend = tcp()
			case "tcp-stream":
				a, consumer = tcp()
				b, backend = stream()
			case "stream-tcp":
				a, consumer = stream()
				b, backend = tcp()
			case "plain-stream":
				e, p := newPipe(1000)
				a, consumer = plainEnd{e}, p
				b, backend = stream()
			}
			r := start(t, a, b, Options{})
			up, down := randomBytes(5<<20+3), randomBytes(3<<20+1)
			errs := make(chan error, 4)
			push := func(w interface {
				io.Writer
				CloseWrite() error
			}, b []byte,
			) {
				_, err := w.Write(b)
				errs <- errors.Join(err, w.CloseWrite())
			}
			pull := func(rd io.Reader, want []byte) {
				got, err := io.ReadAll(rd)
				if err == nil && !bytes.Equal(got, want) {
					err = errors.New("other bytes than were sent")
				}
				errs <- err
			}
			go push(consumer, up)
			go push(backend, down)
			go pull(backend, up)
			go pull(consumer, down)
			for range 4 {
				if err := <-errs; err != nil {
					t.Fatal(err)
				}
			}
			res := r.wait(t)
			if res.Err != nil || res.BytesAB != int64(len(up)) || res.BytesBA != int64(len(down)) {
				t.Errorf("%+v", res)
			}
		})
	}
}

func TestResetIsPassedOn(t *testing.T) {
	t.Run("by the consumer, idle", func(t *testing.T) {
		consumer, backend, r := tcpRelay(t, Options{})
		now := time.Now()
		rst(t, consumer)
		wantReset(t, backend, now)
		r.wantReason(t, AReset)
	})
	t.Run("by the backend, idle", func(t *testing.T) {
		consumer, backend, r := tcpRelay(t, Options{})
		now := time.Now()
		rst(t, backend)
		wantReset(t, consumer, now)
		r.wantReason(t, BReset)
	})
	t.Run("by the backend that leaves a request unread", func(t *testing.T) {
		consumer, backend, r := tcpRelay(t, Options{})
		send(t, consumer, []byte("request"))
		backend.SetReadDeadline(time.Now().Add(late))
		if _, err := backend.Read(make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		now := time.Now()
		backend.Close() // RFC 1122 4.2.2.13: unread bytes make it a reset
		wantReset(t, consumer, now)
		r.wantReason(t, BReset)
	})
	t.Run("by the consumer that closed and is written to", func(t *testing.T) {
		consumer, backend, r := tcpRelay(t, Options{})
		consumer.Close()
		wantEOF(t, backend)
		send(t, backend, []byte("too late"))
		wantBrokenWrite(t, backend)
		r.wantReason(t, AReset)
	})
	t.Run("by a TCP consumer to a stream", func(t *testing.T) {
		consumer, a := tcpPair(t)
		b, backend := newPipe(1 << 10)
		r := start(t, TCP(a), b, Options{NameA: "consumer"})
		send(t, consumer, []byte("bytes"))
		got := make([]byte, 5)
		if _, err := io.ReadFull(backend, got); err != nil {
			t.Fatal(err)
		}
		rst(t, consumer)
		if _, err := backend.Read(got); err != errFakeReset {
			t.Errorf("the stream's peer read %v", err)
		}
		r.wantReason(t, AReset)
		if b.reason != "consumer-reset" {
			t.Errorf("reset with reason %q", b.reason)
		}
	})
	t.Run("by a stream to TCP, after its bytes", func(t *testing.T) {
		a, consumer := newPipe(1 << 20)
		b, backend := tcpPair(t)
		r := start(t, a, TCP(b), Options{})
		sent := randomBytes(300_000)
		send(t, consumer, sent)
		now := time.Now()
		consumer.Reset("")
		receive(t, backend, sent)
		wantReset(t, backend, now)
		res := r.wantReason(t, AReset)
		if !errors.Is(res.Err, errFakeReset) {
			t.Errorf("error %v", res.Err)
		}
	})
}

func TestStreamAbortWhileNobodyMoves(t *testing.T) {
	t.Parallel()
	a, _ := newPipe(1 << 10)
	b, backend := tcpPair(t)
	r := start(t, a, TCP(b), Options{})
	now := time.Now()
	a.abortSilently(errFakeReset)
	wantReset(t, backend, now)
	r.wantReason(t, AReset)
}

func TestStreamAbortAfterItsFIN(t *testing.T) {
	a, consumer := newPipe(1 << 10)
	b, backend := tcpPair(t)
	r := start(t, a, TCP(b), Options{})
	consumer.CloseWrite()
	wantEOF(t, backend)
	a.abortSilently(errFakeReset)
	wantBrokenWrite(t, backend)
	r.wantReason(t, AReset)
}

func TestBlockedStreamWriterIsFreed(t *testing.T) {
	t.Parallel()
	a, consumer := newPipe(1 << 10)
	b, backend := newPipe(10)
	r := start(t, a, b, Options{})
	send(t, consumer, make([]byte, 100)) // backend takes 10, then the relay's Write blocks
	backend.in.wait()
	now := time.Now()
	a.abortSilently(errFakeReset)
	r.wantReason(t, AReset)
	if d := time.Since(now); d > soon {
		t.Errorf("took %v", d)
	}
	if !b.wasReset() {
		t.Error("the blocked end was not reset")
	}
}

// A slow reader that goes on gets every byte, however long it takes, if the end
// shows progress in the middle of a Write.
func TestSlowDeliveryAfterAbortIsNotCut(t *testing.T) {
	t.Parallel()
	a, consumer := newPipe(1 << 20)
	b, backend := newPipe(10)
	slow := &progressEnd{pipeEnd: b}
	r := start(t, a, slow, Options{})
	sent := randomBytes(100)
	send(t, consumer, sent)
	backend.in.wait()
	consumer.Reset("")
	a.abortSilently(errFakeReset)
	var got []byte
	tick := time.NewTicker(stallLimit / 5) // the reader's pace; ten of them are far beyond the limit
	defer tick.Stop()
	for range 10 {
		<-tick.C
		buf := make([]byte, 10)
		n, err := io.ReadFull(backend, buf)
		got = append(got, buf[:n]...)
		if err != nil {
			t.Fatalf("after %d bytes: %v", len(got), err)
		}
	}
	if !bytes.Equal(got, sent) {
		t.Error("other bytes than were sent")
	}
	if _, err := backend.Read(make([]byte, 1)); err != errFakeReset {
		t.Errorf("then %v, want a reset", err)
	}
	r.wantReason(t, AReset)
}

// progressEnd counts what its peer took.
type progressEnd struct{ *pipeEnd }

func (p *progressEnd) Progress() int64 {
	p.out.mu.Lock()
	defer p.out.mu.Unlock()
	return p.out.taken
}

func TestWriteFailureLetsTheLastWordThrough(t *testing.T) {
	a, consumer := newPipe(1 << 20)
	b, backend := newPipe(1 << 20)
	r := start(t, a, b, Options{})
	b.out.cut(errFakeReset) // writing to b fails, what b said is still to be read
	send(t, consumer, []byte("request"))
	send(t, backend, []byte("refused: try again"))
	backend.out.finish(errFakeReset)
	got, err := io.ReadAll(consumer)
	if string(got) != "refused: try again" || err != errFakeReset {
		t.Errorf("the consumer read %q, %v", got, err)
	}
	r.wantReason(t, BReset)
}

func TestBothEndsGone(t *testing.T) {
	for _, known := range []bool{false, true} {
		a, consumer := newPipe(1 << 20)
		b, backend := newPipe(1 << 20)
		a.out.cut(errFakeReset)
		b.out.cut(errFakeReset)
		send(t, consumer, []byte("x"))
		send(t, backend, []byte("y"))
		r := New(a, b, Options{})
		if known { // by AfterAbort, which came before the writes
			r.goneErr = [2]error{errFakeReset, errFakeReset}
		}
		if res := run(r); res.Reason != AReset && res.Reason != BReset {
			t.Errorf("%+v", res)
		}
		if !a.wasReset() || !b.wasReset() {
			t.Error("an end was not reset")
		}
	}
}

func TestHalfClosedIdle(t *testing.T) {
	t.Parallel()
	const idle = 400 * time.Millisecond
	consumer, backend, r := tcpRelay(t, Options{HalfClosedIdle: idle})
	consumer.CloseWrite()
	wantEOF(t, backend)
	tick := time.NewTicker(idle / 4)
	defer tick.Stop()
	for range 8 { // twice the limit
		<-tick.C
		send(t, backend, []byte("x"))
		receive(t, consumer, []byte("x"))
	}
	last := time.Now()
	consumer.SetReadDeadline(time.Now().Add(late))
	if _, err := consumer.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Fatalf("the consumer read %v", err)
	}
	if d := time.Since(last); d < idle {
		t.Errorf("reset after %v of silence", d)
	}
	res := r.wantReason(t, IdleHalfClosed)
	if !errors.Is(res.Err, ErrIdle) {
		t.Errorf("error %v", res.Err)
	}
}

func TestAbort(t *testing.T) {
	consumer, backend, r := tcpRelay(t, Options{})
	now := time.Now()
	r.Abort("revoked")
	wantReset(t, consumer, now)
	wantReset(t, backend, now)
	if res := r.wantReason(t, Aborted); !errors.Is(res.Err, ErrAborted) {
		t.Errorf("error %v", res.Err)
	}
}

func TestAbortBeforeRun(t *testing.T) {
	_, a := tcpPair(t)
	b, _ := newPipe(10)
	r := New(TCP(a), b, Options{})
	r.Abort("")
	if res := run(r); res.Reason != Aborted {
		t.Errorf("%+v", res)
	}
}

func TestCountsAreLive(t *testing.T) {
	consumer, backend, r := tcpRelay(t, Options{})
	send(t, consumer, []byte("12345"))
	receive(t, backend, []byte("12345"))
	send(t, backend, []byte("123"))
	receive(t, consumer, []byte("123"))
	// Bytes are counted right after the write that the peer has seen.
	for deadline := time.Now().Add(late); ; runtime.Gosched() {
		ab, ba := r.Bytes()
		if ab == 5 && ba == 3 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("counted %d and %d bytes", ab, ba)
		}
	}
}

func TestReasonNames(t *testing.T) {
	for _, c := range []struct {
		got, want string
	}{
		{closedFirst(sideA).String(), "a-closed"},
		{closedFirst(sideB).Name("consumer", "backend"), "backend-closed"},
		{brokenBy(sideA, syscall.ECONNRESET).Name("consumer", "backend"), "consumer-reset"},
		{brokenBy(sideB, errFakeReset).String(), "b-reset"},
		{brokenBy(sideA, syscall.ETIMEDOUT).String(), "a-lost"},
		{brokenBy(sideB, &net.OpError{Err: syscall.EHOSTUNREACH}).String(), "b-lost"},
		{IdleHalfClosed.String(), "idle-half-closed"},
		{Aborted.String(), "aborted"},
		{Reason(0).String(), "running"},
	} {
		if c.got != c.want {
			t.Errorf("%s, want %s", c.got, c.want)
		}
	}
}
