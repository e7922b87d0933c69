package mux

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"time"
)

var errExhausted = errors.New("stream numbers are used up")

var errNoAnswer = fmt.Errorf("%w: the stream ended without an answer", ErrProtocol)

// Open opens a stream for a consumer. first is what the consumer has sent so
// far, if anything. It goes out in one frame with the open header, and no round
// trip is spent. Whether the provider connects the stream shows at the first
// Read.
func (s *Session) Open(o Open, first []byte) (*Stream, error) {
	return s.OpenContext(context.Background(), o, first)
}

// OpenContext is Open, and gives up when ctx is done: a session whose peer takes
// nothing may keep it waiting until its end. The error is ctx's then, and the
// provider hears nothing of the stream, or sees it reset.
func (s *Session) OpenContext(ctx context.Context, o Open, first []byte) (*Stream, error) {
	header, err := o.append(nil)
	if err != nil {
		return nil, err
	}
	st, err := s.openStream(header)
	if err != nil {
		return nil, err
	}
	st.wantsStatus = true
	stop := context.AfterFunc(ctx, func() { st.Reset("opening took too long") })
	defer stop()
	st.writeMu.Lock()
	defer st.writeMu.Unlock()
	for {
		n, err := st.send(first)
		if err != nil {
			st.Reset("opening failed")
			return nil, cmp.Or(ctx.Err(), err)
		}
		if first = first[n:]; len(first) > 0 {
			continue
		}
		if !stop() { // it was reset meanwhile
			return nil, ctx.Err()
		}
		return st, nil
	}
}

// openStream registers a new stream. Its first write tells the peer.
func (s *Session) openStream(prefix []byte) (*Stream, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.cause != nil:
		return nil, s.lostLocked()
	case s.retired != nil:
		return nil, ErrRetired
	case s.nextID > math.MaxUint32-2: // after 2^31 streams; the next session starts anew
		go s.fail(errExhausted)
		return nil, fmt.Errorf("%w: %w", ErrSessionLost, errExhausted)
	}
	st := newStream(s, s.nextID)
	st.first, st.prefix = flagSYN, prefix
	s.nextID += 2
	s.streams[st.id] = st
	return st, nil
}

// Accept waits for the next stream that the peer opens. An error means that the
// session has ended.
func (s *Session) Accept() (*Stream, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.accepts) == 0 {
		if s.cause != nil {
			return nil, s.lostLocked()
		}
		s.acceptable.Wait()
	}
	st := s.accepts[0]
	s.accepts[0] = nil
	s.accepts = s.accepts[1:]
	if len(s.accepts) == 0 {
		s.accepts = nil
	}
	return st, nil
}

// Handle is Accept without a goroutine that waits: f is called with each stream
// that the peer opens, on the session's own goroutine, and must not block. It is
// not called any more once Close has returned.
func (s *Session) Handle(f func(*Stream)) {
	s.mu.Lock()
	s.handle = f
	came := s.accepts
	s.accepts = nil
	s.mu.Unlock()
	for _, st := range came {
		f(st)
	}
}

// acceptOrHandle passes on a stream that the peer has opened.
func (s *Session) acceptOrHandle(st *Stream) {
	s.mu.Lock()
	handle, over := s.handle, s.cause != nil
	if handle == nil && !over {
		s.accepts = append(s.accepts, st)
		s.acceptable.Signal()
	}
	s.mu.Unlock()
	switch {
	case over:
		st.drop() // nobody will
	case handle != nil:
		handle(st)
	}
}

// ReadOpen reads the open header of an accepted stream, within the given time.
// A header that cannot be understood is ErrProtocol.
func (st *Stream) ReadOpen(within time.Duration) (Open, error) {
	if err := st.SetReadDeadline(time.Now().Add(within)); err != nil {
		return Open{}, err
	}
	o, err := readOpen(readerFunc(st.read))
	if err != nil {
		return Open{}, fmt.Errorf("open header: %w", err)
	}
	return o, st.SetReadDeadline(time.Time{})
}

// Connected tells the client that the backend is connected. The word goes out
// with the first bytes written, so that it costs no frame of its own.
func (st *Stream) Connected() {
	st.writeMu.Lock()
	defer st.writeMu.Unlock()
	st.prefix = append(st.prefix, statusOK)
}

// Refuse tells the client why the stream is not connected, and resets it. The
// reason is cut to 255 bytes. It must name nothing that the client may not know.
func (st *Stream) Refuse(r Refusal, reason string) {
	st.writeMu.Lock()
	st.prefix = appendRefusal(nil, r, reason)
	_, err := st.send(nil)
	st.writeMu.Unlock()
	if err != nil {
		st.Reset("refusal could not be sent: " + err.Error())
		return
	}
	st.Reset(r.String())
}
