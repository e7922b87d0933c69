package relay

import (
	"errors"
	"io"
	"slices"
	"testing"
)

// EOF behind a known abort is what is left of the abort.
func TestEOFAfterAbortIsNoCleanEnd(t *testing.T) {
	a, consumer := newPipe(10)
	b, backend := newPipe(10)
	r := New(a, b, Options{})
	r.goneErr[sideA] = errFakeReset
	consumer.CloseWrite()
	if res := run(r); res.Reason != AReset || !errors.Is(res.Err, errFakeReset) {
		t.Errorf("%+v", res)
	}
	if _, err := backend.Read(make([]byte, 1)); err != errFakeReset {
		t.Errorf("the backend read %v", err)
	}
}

// shyEnd shows its own reset as an end, and counts the FINs it is asked for.
type shyEnd struct {
	*pipeEnd
	fins     chan struct{}
	closeErr error
}

func (e *shyEnd) Read(b []byte) (int, error) {
	n, err := e.pipeEnd.Read(b)
	if e.wasReset() {
		err = io.EOF
	}
	return n, err
}

func (e *shyEnd) WaitReadable() error { return nil }

func (e *shyEnd) CloseWrite() error {
	e.fins <- struct{}{}
	if e.closeErr != nil {
		return e.closeErr
	}
	return e.pipeEnd.CloseWrite()
}

func newShyEnd() (*shyEnd, *pipeEnd) {
	e, peer := newPipe(10)
	return &shyEnd{pipeEnd: e, fins: make(chan struct{}, 1)}, peer
}

func TestOwnResetIsNotPassedOnAsFIN(t *testing.T) {
	a, _ := newShyEnd()
	b, _ := newShyEnd()
	r := start(t, a, b, Options{})
	r.Abort("")
	r.wantReason(t, Aborted)
	if len(a.fins)+len(b.fins) > 0 {
		t.Error("a FIN was sent after the reset")
	}
}

func TestFINThatCannotBeSentIsAReset(t *testing.T) {
	t.Parallel()
	a, consumer := newPipe(10)
	b, backend := newShyEnd()
	b.closeErr = errFakeReset
	r := start(t, a, b, Options{})
	consumer.CloseWrite()
	<-b.fins
	send(t, backend, []byte("last"))
	got, err := io.ReadAll(consumer)
	if string(got) != "last" || err != errFakeReset {
		t.Errorf("the consumer read %q, %v", got, err)
	}
	r.wantReason(t, BReset)
}

// lastWords gives its bytes together with the error behind them.
type lastWords struct {
	*pipeEnd
	err error
}

func (e *lastWords) WaitReadable() error { return nil }

func (e *lastWords) Read(b []byte) (int, error) { return copy(b, "last words"), e.err }

func TestBytesThatComeWithAnErrorArrive(t *testing.T) {
	for _, c := range []struct {
		err, want error
		reason    Reason
	}{
		{io.EOF, nil, AClosed},
		{errFakeReset, errFakeReset, AReset},
	} {
		a, _ := newPipe(100)
		b, backend := newPipe(100)
		r := start(t, &lastWords{a, c.err}, b, Options{})
		got, err := io.ReadAll(backend)
		if string(got) != "last words" || err != c.want {
			t.Errorf("read %q, %v; want %v", got, err, c.want)
		}
		backend.CloseWrite()
		r.wantReason(t, c.reason)
	}
}

func TestBothEndsAreClosedInTheEnd(t *testing.T) {
	a, consumer := newPipe(100)
	b, backend := newPipe(100)
	r := start(t, a, b, Options{})
	backend.CloseWrite()
	if _, err := consumer.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("the consumer read %v", err)
	}
	consumer.CloseWrite()
	r.wantReason(t, BClosed)
	for _, e := range []*pipeEnd{a, b} {
		if !e.closed || e.wasReset() {
			t.Error("an end was not closed, or was reset")
		}
		if len(e.onAbort) > 0 {
			t.Error("AfterAbort was not undone")
		}
	}
}

func TestBufferSizeFollowsTheFlow(t *testing.T) {
	const k = 1 << 10
	for _, c := range []struct {
		name  string
		reads []int
		want  []int // sizes of the buffers they come in
	}{
		{"chatter stays small", []int{100, 4000, 1, 100}, []int{4 * k, 4 * k, 4 * k, 4 * k}},
		{"bulk grows", []int{4 * k, 16 * k, 64 * k, 128 * k, 128 * k}, []int{4 * k, 16 * k, 64 * k, 128 * k, 128 * k}},
		{
			"and shrinks again",
			[]int{4 * k, 16 * k, 100, 100, 100, 100, 100, 100, 100, 100, 100},
			[]int{4 * k, 16 * k, 64 * k, 64 * k, 64 * k, 64 * k, 16 * k, 16 * k, 16 * k, 16 * k, 4 * k},
		},
		{
			"a few small reads do not count",
			[]int{4 * k, 100, 100, 100, 5000, 100, 100, 100, 100},
			[]int{4 * k, 16 * k, 16 * k, 16 * k, 16 * k, 16 * k, 16 * k, 16 * k, 16 * k},
		},
	} {
		var s sizer
		var got []int
		for _, n := range c.reads {
			b := s.take()
			got = append(got, len(b.b))
			b.put()
			s.saw(n)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}
