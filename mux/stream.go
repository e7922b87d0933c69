package mux

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/yamux"
)

// initialWindow is what a yamux stream may send before the first window update,
// in bytes (spec.md, "Flow Control").
const initialWindow = 256 << 10

// Stream is one forwarded connection in a session. It is a net.Conn with half
// close and reset. One goroutine may read while another writes; Reset, Close
// and the deadlines may be called by any.
type Stream struct {
	s  *Session
	id uint32
	y  *yamux.Stream // nil until opened or accepted

	readMu      sync.Mutex
	wantsStatus bool  // a client's stream whose answer has not been read
	statusErr   error // how it was refused

	writeMu sync.Mutex
	prefix  []byte // goes before the first byte written: the provider's answer

	progress atomic.Int64
	creditCh chan struct{} // wakes a writer: window, cut or deadline

	mu            sync.Mutex
	credit        int64 // bytes that we may send
	sentFIN       bool
	gotFIN        bool // every byte of the peer has been received, if not read
	sentRST       bool // no frame of this stream may follow
	gotRST        bool
	abortErr      error // why the stream was cut: ErrReset or ErrSessionLost
	onAbort       []func(error)
	writeDeadline time.Time
	closed        bool // our own Reset or Close
}

func newStream(s *Session, id uint32) *Stream {
	return &Stream{s: s, id: id, credit: initialWindow, creditCh: make(chan struct{}, 1)}
}

// ID is the stream's number in its session.
func (st *Stream) ID() uint32 { return st.id }

// Session is the session that carries the stream.
func (st *Stream) Session() *Session { return st.s }

// Read reads what the other end sent. io.EOF means that the other end finished
// and every byte was read. ErrReset and ErrSessionLost mean that it did not
// finish; what had arrived before was read first. A client's first Read gives a
// *RefusedError if the provider refused.
func (st *Stream) Read(b []byte) (int, error) {
	if err := st.answered(); err != nil {
		return 0, err
	}
	return st.read(b)
}

// WaitReadable blocks until a Read would not: there are bytes, or an end. It
// lets a reader hold no buffer while it waits.
func (st *Stream) WaitReadable() error {
	_, err := st.Read(nil)
	return err
}

// answered reads the provider's answer, once.
func (st *Stream) answered() error {
	st.readMu.Lock()
	defer st.readMu.Unlock()
	if st.wantsStatus {
		err := readStatus(readerFunc(st.read))
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return err // may be read again
		}
		if err == io.EOF {
			err = errNoAnswer
		}
		st.wantsStatus, st.statusErr = false, err
	}
	return st.statusErr
}

// Refusal is how the provider refused a client's stream, or nil. Ask when the
// stream has ended: whoever copied it may have seen its reset first.
func (st *Stream) Refusal() *RefusedError {
	var refused *RefusedError
	errors.As(st.answered(), &refused)
	return refused
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(b []byte) (int, error) { return f(b) }

func (st *Stream) read(b []byte) (int, error) {
	n, err := st.y.Read(b)
	if n > 0 || err == nil {
		return n, nil
	}
	return 0, st.readError(err)
}

// readError turns yamux's error into the truth: yamux gives a clean EOF when
// the session dies, and knows nothing of resets that received turned into ends.
func (st *Stream) readError(err error) error {
	st.mu.Lock()
	defer st.mu.Unlock()
	switch {
	case st.closed:
		return ErrClosed
	case st.gotFIN && err == io.EOF:
		return io.EOF
	case st.abortErr != nil:
		return st.abortErr
	case errors.Is(err, yamux.ErrTimeout):
		return os.ErrDeadlineExceeded
	}
	if lost := st.s.lost(); lost != nil {
		return lost
	}
	return err
}

// Write sends b in frames as the peer's window allows. It fails with ErrReset or
// ErrSessionLost when the stream was cut; bytes counted as written may then be
// lost.
func (st *Stream) Write(b []byte) (int, error) {
	st.writeMu.Lock()
	defer st.writeMu.Unlock()
	written := 0
	for written < len(b) {
		n, err := st.spend(len(st.prefix) + min(len(b)-written, maxFrame))
		if err != nil {
			return written, err
		}
		n -= len(st.prefix)
		if err := st.s.out.data(st, st.prefix, b[written:written+n]); err != nil {
			return written, st.writeError(err)
		}
		st.prefix = nil
		written += n
		st.progress.Add(int64(n))
	}
	return written, nil
}

// Progress is the number of bytes that the peer's window has taken so far. It
// grows in the middle of a Write too.
func (st *Stream) Progress() int64 { return st.progress.Load() }

// sendPrefix sends the bytes that wait for a first write. writeMu is held.
func (st *Stream) sendPrefix() error {
	if len(st.prefix) == 0 {
		return nil
	}
	if _, err := st.spend(len(st.prefix)); err != nil {
		return err
	}
	prefix := st.prefix
	st.prefix = nil
	return st.writeError(st.s.out.data(st, prefix, nil))
}

// spend takes up to want bytes of the peer's window, and waits while there is
// none. Prefixes are the first bytes of a stream and smaller than any window,
// so that they never come back split.
func (st *Stream) spend(want int) (int, error) {
	for {
		st.mu.Lock()
		if err := st.writableLocked(); err != nil {
			st.mu.Unlock()
			return 0, err
		}
		if st.credit > 0 {
			n := min(st.credit, int64(want))
			st.credit -= n
			st.mu.Unlock()
			return int(n), nil
		}
		deadline := st.writeDeadline
		st.mu.Unlock()
		if err := st.awaitCredit(deadline); err != nil {
			return 0, err
		}
	}
}

func (st *Stream) awaitCredit(deadline time.Time) error {
	var expired <-chan time.Time
	if !deadline.IsZero() {
		timer := time.NewTimer(time.Until(deadline))
		defer timer.Stop()
		expired = timer.C
	}
	select {
	case <-st.creditCh:
		return nil
	case <-expired:
		return os.ErrDeadlineExceeded
	}
}

func (st *Stream) writableLocked() error {
	switch {
	case st.abortErr != nil:
		return st.abortErr
	case st.closed || st.sentFIN:
		return ErrClosed
	}
	return nil
}

// cut says whether frames of the stream are no longer to be sent.
func (st *Stream) cut() bool { return st.cutError() != nil }

func (st *Stream) cutError() error {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.writableLocked()
}

// writeError puts the session's end before what it made of a write.
func (st *Stream) writeError(err error) error {
	if err == nil {
		return nil
	}
	if lost := st.s.lost(); lost != nil {
		return lost
	}
	return err
}

// CloseWrite tells the peer that no more bytes come, after every byte written.
// Reading goes on.
func (st *Stream) CloseWrite() error {
	st.writeMu.Lock()
	defer st.writeMu.Unlock()
	if err := st.sendPrefix(); err != nil {
		return err
	}
	if err := st.cutError(); err != nil {
		return err
	}
	return st.y.Close() // yamux's Close is the half close
}

// Close ends both directions. If the peer has not finished it sees a reset after
// what was written, as it would from a TCP socket that is closed unread.
func (st *Stream) Close() error {
	st.mu.Lock()
	finished := st.sentFIN && st.gotFIN
	st.closed = st.closed || finished
	st.mu.Unlock()
	if !finished {
		st.Reset("closed before the other end had finished")
	}
	return nil
}

// SetDeadline sets both deadlines.
func (st *Stream) SetDeadline(t time.Time) error {
	return errors.Join(st.SetReadDeadline(t), st.SetWriteDeadline(t))
}

// SetReadDeadline bounds Read: after it, os.ErrDeadlineExceeded. The zero time
// means none.
func (st *Stream) SetReadDeadline(t time.Time) error { return st.y.SetReadDeadline(t) }

// SetWriteDeadline bounds the wait for the peer's window in Write.
func (st *Stream) SetWriteDeadline(t time.Time) error {
	st.mu.Lock()
	st.writeDeadline = t
	st.mu.Unlock()
	st.wakeWriter()
	return nil
}

// LocalAddr is the session's local address.
func (st *Stream) LocalAddr() net.Addr { return st.s.LocalAddr() }

// RemoteAddr is the session's remote address.
func (st *Stream) RemoteAddr() net.Addr { return st.s.RemoteAddr() }

func (st *Stream) wakeWriter() {
	select {
	case st.creditCh <- struct{}{}:
	default:
	}
}
