package mux

import (
	"fmt"
	"time"

	"go.uber.org/zap"
)

// How a reset crosses the carrier.
//
// yamux has no call that resets a stream, and one that receives a reset throws
// away what it has not read yet. So both ends of the job are done here, on the
// frames:
//
//   - The side that resets puts an RST frame behind the data that it sent
//     (Reset), and lets nothing of the stream follow (track).
//   - The side that receives it answers at once with one RST, and shows its own
//     yamux an ordinary end (received). A reader gets every byte that came
//     before, and then ErrReset, since gotRST is set and gotFIN is not.
//   - The answer reaches the first side's yamux as it is, which then forgets
//     the stream. So it does when both sides reset at once.

// Reset aborts the stream. The other end sees a reset after the bytes written
// before, never a clean end. The reason goes to this side's debug log only: a
// yamux reset carries none. Safe to call more than once, and after Close.
func (st *Stream) Reset(reason string) {
	st.mu.Lock()
	send := !st.sentRST && !(st.sentFIN && st.gotFIN) && st.abortErr == nil
	if send {
		st.sentRST = true
	}
	received := st.gotRST
	st.closed = true
	st.mu.Unlock()

	if send {
		st.s.log.Debug("stream reset", zap.Uint32("stream", st.id), zap.String("close_reason", reason))
		st.s.out.inject(makeHeader(typeWindowUpdate, flagRST, st.id, 0))
	}
	st.wakeWriter()
	st.s.out.wake()
	if st.y == nil {
		return
	}
	_ = st.y.SetReadDeadline(time.Unix(1, 0)) // wakes a reader; always nil
	if received {
		_ = st.y.Close() // the peer is gone: yamux forgets the stream; track drops its FIN
	}
}

// AfterAbort arranges for f to run once, in a goroutine of its own, when the
// stream is cut by the peer or with its session, also while nobody reads or
// writes. If that has happened already f runs at once. stop reports whether it
// kept f from running.
func (st *Stream) AfterAbort(f func(error)) (stop func() bool) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.abortErr != nil {
		go f(st.abortErr)
		return func() bool { return false }
	}
	i := len(st.onAbort)
	st.onAbort = append(st.onAbort, f)
	return func() bool {
		st.mu.Lock()
		defer st.mu.Unlock()
		if st.abortErr != nil || st.onAbort[i] == nil {
			return false
		}
		st.onAbort[i] = nil
		return true
	}
}

// abort marks the stream as cut, wakes its writer and runs what AfterAbort was
// given. Its reader is woken by yamux.
func (st *Stream) abort(err error) {
	st.mu.Lock()
	if st.abortErr != nil {
		st.mu.Unlock()
		return
	}
	st.abortErr = err
	fs := st.onAbort
	st.mu.Unlock()
	for _, f := range fs {
		if f != nil {
			go f(err)
		}
	}
	st.wakeWriter()
	st.s.out.wake()
}

// track sees each frame that yamux sends, keeps the stream's state, and says
// whether the frame may go out. Called with out's lock held.
func (s *Session) track(h *frameHeader) bool {
	if !h.ofStream() {
		return true
	}
	flags := h.flags()
	if flags&flagSYN != 0 {
		return s.add(h.stream()) != nil
	}
	st := s.stream(h.stream())
	if st == nil {
		return true
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.sentRST {
		return false
	}
	st.sentFIN = st.sentFIN || flags&flagFIN != 0
	st.sentRST = flags&flagRST != 0 // yamux's own: its accept backlog is full
	s.forget(st)
	return true
}

// received sees each frame's header before yamux does.
func (s *Session) received(h *frameHeader) error {
	if !h.ofStream() {
		return s.receivedOther(h)
	}
	flags := h.flags()
	if flags&flagFIN != 0 && h.body() > 0 {
		// The end is known before the bytes are here: should the session be lost
		// among them it would read as a clean end.
		return fmt.Errorf("%w: end of stream %d with data", ErrProtocol, h.stream())
	}
	if flags&flagSYN != 0 {
		if err := s.opened(h); err != nil {
			return err
		}
	}
	st := s.stream(h.stream())
	if st == nil {
		return nil // yamux ignores it as a late frame
	}
	if flags&flagRST != 0 {
		return st.receivedReset(h)
	}
	st.mu.Lock()
	if h.frameType() == typeWindowUpdate && h.length() > 0 {
		st.credit += int64(h.length())
		st.wakeWriter()
	}
	if flags&flagFIN != 0 {
		st.gotFIN = true
		s.forget(st)
	}
	st.mu.Unlock()
	return nil
}

// receivedReset takes a reset of the peer, and changes the frame into what our
// yamux is to see.
func (st *Stream) receivedReset(h *frameHeader) error {
	if h.frameType() != typeWindowUpdate {
		return fmt.Errorf("%w: reset of stream %d with data", ErrProtocol, st.id)
	}
	st.mu.Lock()
	st.gotRST = true
	answer := !st.sentRST
	if answer {
		st.sentRST = true
		end := flagFIN
		if st.gotFIN {
			end = 0 // yamux has seen the end: a second one is an error to it
		}
		*h = makeHeader(typeWindowUpdate, end, st.id, 0)
	}
	st.s.forget(st)
	closed := st.closed
	st.mu.Unlock()
	if answer {
		st.s.out.inject(makeHeader(typeWindowUpdate, flagRST, st.id, 0))
	}
	if !closed {
		st.abort(ErrReset)
	}
	return nil
}

// add registers a stream when its first frame passes, before anything can
// answer it. It returns nil on an ended session.
func (s *Session) add(id uint32) *Stream {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cause != nil {
		return nil
	}
	st := newStream(s, id)
	s.streams[id] = st
	return st
}

func (s *Session) stream(id uint32) *Stream {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.streams[id]
}

// forget drops a stream that no frame can concern any more. st.mu is held.
func (s *Session) forget(st *Stream) {
	if (st.sentFIN && st.gotFIN) || (st.sentRST && st.gotRST) {
		s.mu.Lock()
		delete(s.streams, st.id)
		s.retireLocked()
		s.mu.Unlock()
	}
}
