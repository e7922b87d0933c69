package mux

import "fmt"

// What yamux takes from a peer and an ambassador does not send. A peer that
// breaks these rules is no ambassador, or means harm: its session ends.

// opened registers a stream that the peer opens. Only clients open any, in odd
// numbers (yamux's spec.md, "StreamID Field"), each of them once: yamux would
// end the session for the second, but the first would be known to nobody then,
// and its writer wait forever.
func (s *Session) opened(h *frameHeader) error {
	id := h.stream()
	switch {
	case s.isClient:
		return fmt.Errorf("%w: the provider opened stream %d", ErrProtocol, id)
	case id%2 == 0:
		return fmt.Errorf("%w: the client opened stream %d, a number of ours", ErrProtocol, id)
	case h.flags()&(flagRST|flagFIN) != 0:
		return fmt.Errorf("%w: the client opened and ended stream %d in one frame", ErrProtocol, id)
	case s.stream(id) != nil:
		return fmt.Errorf("%w: the client opened stream %d twice", ErrProtocol, id)
	}
	s.add(id)
	return nil
}

// receivedOther takes a frame that belongs to no stream, and changes it into
// what our yamux is to see.
func (s *Session) receivedOther(h *frameHeader) error {
	switch {
	case h.frameType() == typeGoAway:
		// Our Control says when to go; yamux sends this only before it gives up.
		// A session on which no stream can be opened is of no use.
		return fmt.Errorf("%w: the peer's yamux gives up (code %d)", ErrProtocol, h.length())
	case h.frameType() == typePing && h.flags()&flagSYN != 0:
		// yamux starts a goroutine for each answer, without a bound if the peer
		// asks and does not read. One who has this much to read needs no answer
		// to know that we live. An answer that nobody waits for is nothing to
		// yamux.
		answer := makeHeader(typePing, flagACK, 0, h.length())
		s.out.offer(answer)
		*h = answer
	}
	return nil
}
