package relay

import (
	"errors"
	"io"
	"sync"
)

// pipeEnd is an End in memory: one half of newPipe. Its peer is driven by the
// test. window bounds the bytes under way, so that a Write can block.
type pipeEnd struct {
	in, out *flow

	mu      sync.Mutex
	abort   error
	onAbort []*func(error)
	closed  bool
	reset   chan struct{} // closed by Reset
	reason  string
}

// flow is one direction: bytes, then a FIN or an error.
type flow struct {
	mu     sync.Mutex
	cond   *sync.Cond
	buf    []byte
	window int
	taken  int64 // bytes read
	end    error // io.EOF after FIN
	gone   error // the writer's error
}

func newFlow(window int) *flow {
	f := &flow{window: window}
	f.cond = sync.NewCond(&f.mu)
	return f
}

func (f *flow) write(b []byte) (n int, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for len(b) > 0 {
		for len(f.buf) >= f.window && f.gone == nil && f.end == nil {
			f.cond.Wait()
		}
		if f.gone != nil {
			return n, f.gone
		}
		if f.end != nil {
			return n, io.ErrClosedPipe
		}
		m := min(len(b), f.window-len(f.buf))
		f.buf = append(f.buf, b[:m]...)
		b, n = b[m:], n+m
		f.cond.Broadcast()
	}
	return n, nil
}

func (f *flow) wait() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for len(f.buf) == 0 && f.end == nil {
		f.cond.Wait()
	}
	if len(f.buf) == 0 {
		return f.end
	}
	return nil
}

func (f *flow) read(b []byte) (int, error) {
	if err := f.wait(); err != nil {
		return 0, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	n := copy(b, f.buf)
	f.taken += int64(n)
	f.buf = append(f.buf[:0], f.buf[n:]...)
	f.cond.Broadcast()
	return n, nil
}

func (f *flow) finish(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.end == nil {
		f.end = err
	}
	f.cond.Broadcast()
}

func (f *flow) cut(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.gone = err
	f.cond.Broadcast()
}

var errFakeReset = errors.New("fake stream reset")

// newPipe gives a relay's end and the peer's view of it.
func newPipe(window int) (end, peer *pipeEnd) {
	up, down := newFlow(window), newFlow(window)
	end = &pipeEnd{in: up, out: down, reset: make(chan struct{})}
	peer = &pipeEnd{in: down, out: up, reset: make(chan struct{})}
	return end, peer
}

func (p *pipeEnd) Read(b []byte) (int, error)  { return p.in.read(b) }
func (p *pipeEnd) Write(b []byte) (int, error) { return p.out.write(b) }
func (p *pipeEnd) WaitReadable() error         { return p.in.wait() }

func (p *pipeEnd) CloseWrite() error {
	p.out.finish(io.EOF)
	return nil
}

func (p *pipeEnd) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	p.out.finish(io.EOF)
	p.in.finish(io.ErrClosedPipe)
	return nil
}

// Reset fails the peer's reads, after what it has not read, and its writes.
func (p *pipeEnd) Reset(reason string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return
	}
	p.closed, p.reason = true, reason
	p.out.finish(errFakeReset)
	p.out.cut(errFakeReset)
	p.in.finish(errFakeReset)
	p.in.cut(errFakeReset)
	close(p.reset)
}

// wasReset reports whether Reset was called.
func (p *pipeEnd) wasReset() bool {
	select {
	case <-p.reset:
		return true
	default:
		return false
	}
}

func (p *pipeEnd) AfterAbort(f func(error)) func() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.abort != nil {
		go f(p.abort)
		return func() bool { return false }
	}
	p.onAbort = append(p.onAbort, &f)
	return func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		for i, g := range p.onAbort {
			if g == &f {
				p.onAbort = append(p.onAbort[:i], p.onAbort[i+1:]...)
				return true
			}
		}
		return false
	}
}

// abortSilently tells AfterAbort only: a blocked reader or writer stays so.
func (p *pipeEnd) abortSilently(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.abort = err
	for _, f := range p.onAbort {
		go (*f)(err)
	}
	p.onAbort = nil
}

// plainEnd hides WaitReadable.
type plainEnd struct{ End }

// run starts a relay and waits for its end.
func run(r *Relay) Result {
	over := make(chan Result, 1)
	r.Start(func(res Result) { over <- res })
	return <-over
}
