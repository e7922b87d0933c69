package mux

import (
	"errors"
	"fmt"

	"go.uber.org/zap"
)

// resetWords are the reasons that a reset frame carries, by their codes. The code
// stands in the frame's length field, which is a window update's: one who does not
// know codes opens the window of a stream by a few bytes and resets it in the same
// step. Code 0 is no word. A word keeps its code for ever.
var resetWords = [...]string{
	1: "consumer-reset", 2: "consumer-lost", 3: "backend-reset", 4: "backend-lost", 5: "session-lost",
	6: "idle-half-closed", 7: "memory-limit", 8: "drain-timeout", 9: "link-withdrawn", 10: "client-denied",
	11: "killed", 12: "consumer-gone",
}

// resetCode is the code of a reason, 0 if it has none.
func resetCode(reason string) uint32 {
	for code, word := range resetWords {
		if word == reason {
			return uint32(code)
		}
	}
	return 0
}

// ResetReason is the word that the peer gave with the reset in err's chain, such
// as "link-withdrawn", or empty if it gave none. It is what the peer says.
func ResetReason(err error) string {
	var reset resetError
	errors.As(err, &reset)
	return reset.word
}

// Reset aborts the stream. The other end sees a reset after the bytes written
// before, never a clean end. The reason goes to this side's debug log, and if it
// is one of resetWords to the peer. Safe to call more than once, and after Close.
func (st *Stream) Reset(reason string) {
	st.mu.Lock()
	again := st.closed
	st.closed = true
	st.mu.Unlock()
	if again {
		return
	}
	st.letGo()
	if st.sendReset(resetCode(reason)) {
		st.s.log.Debug("stream reset", zap.Uint32("stream", st.id), zap.String("reason", reason))
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
func (st *Stream) sendReset(code uint32) (sent bool) {
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
		_ = st.s.out.control(st, makeHeader(typeWindowUpdate, flags, st.id, code))
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

// Aborted is why the stream was cut by the peer or with its session, nil if it was
// not: for one who is about to do more for it than is worth while then.
func (st *Stream) Aborted() error {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.abortErr
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

// receivedReset: every byte that came before is read first, then ErrReset with
// the word of the code, if that is known.
func (st *Stream) receivedReset(code uint32) {
	err := ErrReset
	if 0 < code && code < uint32(len(resetWords)) {
		err = resetError{resetWords[code]}
	}
	st.abort(err)
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
		s.keepUnreadLocked(st)
		s.retireLocked()
	}
}
