package mux

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// Stream is one forwarded connection in a session. It is a net.Conn with half
// close and reset. One goroutine may read while another writes; Reset, Close
// and the deadlines may be called by any.
type Stream struct {
	s  *Session
	id uint32
	in inbox

	opened int64 // when: nanoseconds since the session's epoch

	wantsStatus bool // a client's stream whose answer has not been read; the reader's, or push's while it is parked
	readMu      sync.Mutex
	statusErr   error  // how it was refused
	afterAnswer func() // nil unless somebody waits for the provider's good word

	writeMu  sync.Mutex
	prefix   []byte // goes before the first byte written: open header or answer
	progress atomic.Int64
	creditCh chan struct{} // wakes a writer: window, cut or deadline
	bulkTurn uint64        // out.mu guards it: the turn of bulk that has frames of ours

	mu            sync.Mutex
	first         uint16 // flags for the first frame: SYN or ACK
	credit        int64  // bytes that we may send
	sentFIN       bool
	gotFIN        bool // every byte of the peer has been received, if not read
	sentRST       bool // the peer discards what follows
	reached       bool // a client's stream: see Reached
	abortErr      error
	onAbort       []func(error)
	writeDeadline time.Time
	closed        bool // our own Reset or Close
	exhausted     bool // bytes of the peer's were thrown away
	held          bool // the session counts it until then; set before anybody knows the stream
}

func newStream(s *Session, id uint32) *Stream {
	return &Stream{
		s: s, id: id, opened: s.life.now(), credit: initialWindow, creditCh: make(chan struct{}, 1),
		in: inbox{window: newWindow(), wake: make(chan struct{}, 1)},
	}
}

// ID is the stream's number in its session.
func (st *Stream) ID() uint32 { return st.id }

// Read reads what the other end sent. io.EOF means that the other end finished
// and every byte was read. ErrReset, ErrSessionLost and ErrMemory mean that it
// did not finish; what had arrived before was read first. A client's first Read
// gives a *RefusedError if the provider refused.
func (st *Stream) Read(b []byte) (int, error) {
	if err := st.answered(); err != nil {
		return 0, err
	}
	return st.read(b)
}

// WaitReadable blocks until a Read would not: there are bytes, or an end, which
// it returns. A reader thus holds no buffer while it waits.
func (st *Stream) WaitReadable() error {
	if err := st.answered(); err != nil {
		return err
	}
	if err := st.in.wait(); err != nil {
		return st.readError(err)
	}
	return nil
}

// Park waits without a goroutine: resume is called once, in a goroutine of its
// own, when a Read would not block. Until then bytes that arrive are handed to
// push, which returns how many it took; what it leaves is for Read. push runs on
// the session's own goroutine: it must not block, nor touch the stream. Park
// returns false, and keeps nothing, when a Read would not block now.
func (st *Stream) Park(push func([]byte) int, resume func()) bool {
	if push != nil && st.wantsStatus {
		push = st.behindStatus(push)
	}
	return st.in.park(push, resume)
}

// behindStatus takes the provider's good word off what is pushed first. A refusal
// is left to Read.
func (st *Stream) behindStatus(push func([]byte) int) func([]byte) int {
	return func(b []byte) int {
		switch {
		case !st.wantsStatus:
			return push(b)
		case b[0] != statusOK:
			return 0
		}
		st.wantsStatus = false
		st.connected()
		return 1 + push(b[1:])
	}
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
		if err == nil {
			st.connected()
		}
	}
	return st.statusErr
}

// AfterAnswer has f called once when the provider's word that the backend is
// connected has come, which is with the backend's first bytes or its end. Call it
// before the stream is read. f runs on the session's own goroutine and must not
// block.
func (st *Stream) AfterAnswer(f func()) { st.afterAnswer = f }

// Reached says whether a client's stream is known to have reached its backend: the
// provider's word has come, or a window, which a provider grants for bytes that it
// has read, and before the backend is connected it reads none.
func (st *Stream) Reached() bool {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.reached
}

func (st *Stream) connected() {
	st.mu.Lock()
	st.reached = true
	st.mu.Unlock()
	if f := st.afterAnswer; f != nil {
		st.afterAnswer = nil
		f()
	}
}

// Refusal is how the provider refused a client's stream, or nil. Ask when the
// stream has ended: whoever copied it may have seen its reset first.
func (st *Stream) Refusal() *RefusedError {
	var refused *RefusedError
	st.readMu.Lock()
	defer st.readMu.Unlock()
	errors.As(st.statusErr, &refused)
	return refused
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(b []byte) (int, error) { return f(b) }

func (st *Stream) read(b []byte) (int, error) {
	for {
		if len(b) > 0 {
			if n := st.copyOut(b); n > 0 {
				return n, nil
			}
		}
		if err := st.in.wait(); err != nil {
			return 0, st.readError(err)
		}
		if len(b) == 0 {
			return 0, nil
		}
	}
}

// readError says what the end of the inbox means.
func (st *Stream) readError(err error) error {
	if err != io.EOF {
		return err
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	switch {
	case st.closed:
		return ErrClosed
	case st.exhausted:
		return ErrMemory // its peer may have finished, and yet this is not the whole
	case st.gotFIN:
		return io.EOF
	}
	return st.abortErr
}

// readable says whether somebody may still read.
func (st *Stream) readable() bool {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.abortErr == nil && !st.closed
}

// Write sends b in frames as the peer's window allows. It fails with ErrReset,
// ErrSessionLost or ErrMemory when the stream was cut; bytes counted as written
// may then be lost.
func (st *Stream) Write(b []byte) (int, error) {
	st.writeMu.Lock()
	defer st.writeMu.Unlock()
	written := 0
	for written < len(b) {
		n, err := st.send(b[written:])
		written += n
		if err != nil {
			return written, err
		}
	}
	return written, nil
}

// send sends one frame: the prefix, if there is one, and as much of b as the
// window allows. writeMu is held.
func (st *Stream) send(b []byte) (int, error) {
	if len(st.prefix) == 0 && len(b) == 0 {
		return 0, nil
	}
	b = b[:min(len(b), st.s.out.largestFrame()-len(st.prefix))]
	n, err := st.spend(len(st.prefix) + len(b))
	if err != nil {
		return 0, err
	}
	n -= len(st.prefix)
	if err := st.s.out.data(st, st.firstFlags(), st.prefix, b[:n]); err != nil {
		return 0, st.writeError(err)
	}
	st.prefix = nil
	st.progress.Add(int64(n))
	return n, nil
}

// Progress is the number of bytes that the peer's window has taken so far. It
// grows in the middle of a Write too.
func (st *Stream) Progress() int64 { return st.progress.Load() }

// firstFlags are SYN or ACK for the first frame that is sent, then none.
func (st *Stream) firstFlags() uint16 {
	st.mu.Lock()
	defer st.mu.Unlock()
	f := st.first
	st.first = 0
	return f
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
		if !deadline.IsZero() && !time.Now().Before(deadline) {
			return 0, os.ErrDeadlineExceeded
		}
		await(st.creditCh, deadline)
	}
}

func (st *Stream) addCredit(n uint32) {
	if n == 0 {
		return
	}
	st.mu.Lock()
	st.credit += int64(n)
	st.reached = true
	st.mu.Unlock()
	st.notifyWriter()
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
	if _, err := st.send(nil); err != nil { // an answer that nothing followed
		return err
	}
	flags := flagFIN | st.firstFlags()
	st.mu.Lock()
	err := st.writableLocked()
	st.sentFIN = st.sentFIN || err == nil
	over := st.gotFIN
	st.mu.Unlock()
	if err != nil {
		return err
	}
	if err := st.s.out.controlNow(st, makeHeader(typeWindowUpdate, flags, st.id, 0)); err != nil {
		return st.writeError(err)
	}
	if over {
		st.s.forget(st)
	}
	return nil
}

// Close ends both directions. If the peer has not finished it sees a reset after
// what was written, as it would from a TCP socket that is closed unread.
func (st *Stream) Close() error {
	st.mu.Lock()
	finished, again := st.sentFIN && st.gotFIN, st.closed
	st.closed = st.closed || finished
	st.mu.Unlock()
	if !finished {
		st.Reset("closed before the other end had finished")
		return nil
	}
	if !again {
		st.letGo()
	}
	st.drop()
	return nil
}

// SetDeadline sets both deadlines.
func (st *Stream) SetDeadline(t time.Time) error {
	return errors.Join(st.SetReadDeadline(t), st.SetWriteDeadline(t))
}

// SetReadDeadline bounds Read: after it, os.ErrDeadlineExceeded. The zero time
// means none.
func (st *Stream) SetReadDeadline(t time.Time) error {
	st.in.mu.Lock()
	st.in.deadline = t
	st.in.rouse()
	return nil
}

// SetWriteDeadline bounds the wait for the peer's window in Write.
func (st *Stream) SetWriteDeadline(t time.Time) error {
	st.mu.Lock()
	st.writeDeadline = t
	st.mu.Unlock()
	st.notifyWriter()
	return nil
}

// LocalAddr is the session's local address.
func (st *Stream) LocalAddr() net.Addr { return st.s.LocalAddr() }

// RemoteAddr is the session's remote address.
func (st *Stream) RemoteAddr() net.Addr { return st.s.RemoteAddr() }

// wakeWriter wakes a writer that waits for the window or for room.
func (st *Stream) wakeWriter() {
	st.notifyWriter()
	st.s.out.wake()
}

func (st *Stream) notifyWriter() {
	select {
	case st.creditCh <- struct{}{}:
	default:
	}
}
