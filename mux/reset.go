package mux

import (
	"fmt"

	"go.uber.org/zap"
)

// Reset aborts the stream. The other end sees a reset after the bytes written
// before, never a clean end. The reason goes to this side's debug log only: a
// reset frame carries none. Safe to call more than once, and after Close.
func (st *Stream) Reset(reason string) {
	st.mu.Lock()
	again := st.closed
	st.closed = true
	st.mu.Unlock()
	if again {
		return
	}
	st.letGo()
	if st.sendReset() {
		st.s.log.Debug("stream reset", zap.Uint32("stream", st.id), zap.String("close_reason", reason))
	}
	st.drop()
	st.wakeWriter()
}

// letGo is called once, when the owner is done with the stream. A peer that opens
// streams and resets them at once has what it made us do for them counted until
// then (CVE-2023-44487 was this in HTTP/2).
func (st *Stream) letGo() {
	if !st.held {
		return
	}
	st.s.mu.Lock()
	defer st.s.mu.Unlock()
	st.s.held--
}

// sendReset tells the peer, unless that is over for it or it has not heard of the
// stream, and forgets the stream: frames that are still on their way are discarded.
func (st *Stream) sendReset() (sent bool) {
	st.mu.Lock()
	unheardOf := st.first&flagSYN != 0
	send := !st.sentRST && !(st.sentFIN && st.gotFIN) && st.abortErr == nil && !unheardOf
	st.sentRST = true
	flags := flagRST | st.first
	if send {
		st.first = 0
	}
	st.mu.Unlock()
	if send {
		// It fails when the session has ended, and every stream with it.
		_ = st.s.out.control(st, makeHeader(typeWindowUpdate, flags, st.id, 0))
	}
	st.s.forget(st)
	return send
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

// abort marks the stream as cut, wakes its reader and writer, and runs what
// AfterAbort was given. What was received before can still be read.
func (st *Stream) abort(err error) {
	st.mu.Lock()
	if st.abortErr != nil || st.sentRST && st.closed {
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
	st.in.end()
	st.wakeWriter()
}

// receivedReset: every byte that came before is read first, then ErrReset.
func (st *Stream) receivedReset() {
	st.abort(ErrReset)
	st.s.forget(st)
}

// receivedFIN: the peer sends no more; our direction goes on.
func (st *Stream) receivedFIN() error {
	st.mu.Lock()
	again := st.gotFIN
	st.gotFIN = true
	over := st.sentFIN
	st.mu.Unlock()
	if again {
		return fmt.Errorf("%w: stream %d ended twice", ErrProtocol, st.id)
	}
	st.in.finish()
	if over {
		st.s.forget(st)
	}
	return nil
}

// forget drops a stream that no frame can concern any more.
func (s *Session) forget(st *Stream) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.streams[st.id] == st {
		delete(s.streams, st.id)
		s.retireLocked()
	}
}
