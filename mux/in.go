package mux

import (
	"fmt"
	"io"

	"go.uber.org/zap"
)

// read is the body of the reader goroutine: it takes frames from the connection
// until that ends, and returns why.
func (s *Session) read() error {
	var h frameHeader
	for {
		if _, err := io.ReadFull(s.tls, h[:]); err != nil {
			return s.readCause(err)
		}
		s.life.heard()
		if err := s.received(&h); err != nil {
			return err
		}
	}
}

func (s *Session) received(h *frameHeader) error {
	if h[0] != 0 {
		return fmt.Errorf("%w: frame of version %d, expected 0", ErrProtocol, h[0])
	}
	switch h.frameType() {
	case typeData, typeWindowUpdate:
		return s.receivedFrame(h)
	case typePing:
		s.life.received(h)
		return nil
	case typeGoAway:
		// Our Control says when to go; yamux sends this only before it gives up.
		return fmt.Errorf("%w: the peer gives up (code %d)", ErrProtocol, h.length())
	}
	return fmt.Errorf("%w: frame of type %d", ErrProtocol, h.frameType())
}

// receivedFrame handles a frame of one stream.
func (s *Session) receivedFrame(h *frameHeader) error {
	flags := h.flags()
	if flags&(flagRST|flagFIN) != 0 && (h.body() > 0 || flags&flagSYN != 0) {
		return fmt.Errorf("%w: end of stream %d in a frame with its beginning or data", ErrProtocol, h.stream())
	}
	if flags&flagSYN != 0 {
		st, err := s.opened(h.stream())
		if err != nil {
			return err
		}
		if st != nil {
			// Last, so that its first bytes are there when it is looked at.
			defer s.acceptOrHandle(st)
		}
	}
	st := s.stream(h.stream())
	switch {
	case st == nil: // it ended here before the peer knew
		return s.discard(h.body())
	case flags&flagRST != 0: // the length is its code
	case h.frameType() == typeWindowUpdate:
		st.addCredit(h.length())
	case h.length() > 0:
		if err := st.receive(int(h.length())); err != nil {
			return err
		}
	}
	switch {
	case flags&flagRST != 0:
		st.receivedReset(resetCodeOf(h))
	case flags&flagFIN != 0:
		return st.receivedFIN()
	}
	return nil
}

// resetCodeOf is the code in a reset frame. yamux lets a data frame reset too.
func resetCodeOf(h *frameHeader) uint32 {
	if h.frameType() != typeWindowUpdate {
		return 0
	}
	return h.length()
}

func (s *Session) discard(n uint32) error {
	if n == 0 {
		return nil
	}
	_, err := io.CopyN(io.Discard, s.tls, int64(n))
	s.life.heard()
	return s.readCause(err)
}

// opened registers a stream that the peer opens. Only clients open any, in odd
// numbers (yamux's spec.md, "StreamID Field"), and none that is open already. It
// is nil when it is not taken.
func (s *Session) opened(id uint32) (*Stream, error) {
	switch {
	case s.isClient:
		return nil, fmt.Errorf("%w: the provider opened stream %d", ErrProtocol, id)
	case id%2 == 0:
		return nil, fmt.Errorf("%w: the client opened stream %d, a number of ours", ErrProtocol, id)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.cause != nil:
		return nil, nil
	case s.streams[id] != nil:
		return nil, fmt.Errorf("%w: the client opened stream %d twice", ErrProtocol, id)
	case len(s.streams) > s.maxStreams, s.held > s.maxStreams:
		return nil, s.rejectLocked(id)
	}
	st := newStream(s, id)
	st.first = flagACK
	st.held = true
	s.held++
	s.streams[id] = st
	return st, nil
}

// rejectLocked resets a stream beyond the limit. The log says so once a session: how
// many more there are is the peer's choice, and so would be the log's length. What
// waits for a peer that does not read is bounded too. s.mu is held.
func (s *Session) rejectLocked(id uint32) error {
	level := zap.WarnLevel
	if s.tooMany {
		level = zap.DebugLevel
	}
	s.tooMany = true
	s.log.Log(level, "client opened too many streams, resetting the newest", zap.Uint32("stream", id), zap.Int("limit", s.maxStreams))
	if !s.out.offer(makeHeader(typeWindowUpdate, flagRST, id, 0)) && s.out.alive() {
		return fmt.Errorf("%w: more than %d streams, and the resets are not read", ErrProtocol, s.maxStreams)
	}
	return nil
}

// readCause says what the end of reading means.
func (s *Session) readCause(err error) error {
	switch {
	case err == nil:
		return nil
	case err == io.EOF && !s.wire.ended: // behind a close_notify (RFC 8446 §6.1), between frames
		return fmt.Errorf("%w: %w", ErrSessionLost, ErrEnded)
	case err == io.EOF, err == io.ErrUnexpectedEOF: // crypto/tls takes an end between records for a good one
		return fmt.Errorf("%w: the connection ended without a goodbye", ErrSessionLost)
	}
	return fmt.Errorf("%w: %w", ErrSessionLost, err)
}
