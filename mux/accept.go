package mux

import (
	"cmp"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/yamux"
)

var errNoAnswer = fmt.Errorf("%w: the stream ended without an answer", ErrProtocol)

// Open opens a stream for a consumer. first is what the consumer has sent so
// far, if anything; it goes out in one frame with the open header, and no round
// trip is spent. Whether the provider connects the stream shows at the first
// Read. Open blocks while the peer is more than 1024 streams behind in
// accepting.
func (s *Session) Open(o Open, first []byte) (*Stream, error) {
	header, err := o.append(nil)
	if err != nil {
		return nil, err
	}
	if err := s.beginOpen(); err != nil {
		return nil, err
	}
	defer s.endOpen()
	st, err := s.openStream()
	if err != nil {
		return nil, err
	}
	st.wantsStatus = true
	st.prefix = header
	if len(first) > 0 {
		_, err = st.Write(first)
	} else {
		st.writeMu.Lock()
		err = st.sendPrefix()
		st.writeMu.Unlock()
	}
	if err != nil {
		st.Reset("opening failed")
		return nil, err
	}
	return st, nil
}

func (s *Session) openStream() (*Stream, error) {
	y, err := s.y.OpenStream()
	if errors.Is(err, yamux.ErrStreamsExhausted) {
		s.fail(err) // after 2^31 streams; the next session starts anew
	}
	if err != nil {
		if lost := s.lost(); lost != nil {
			return nil, lost
		}
		return nil, err
	}
	st := s.stream(y.StreamID())
	if st == nil { // the session ended or ends, or the peer reset it at once
		_ = y.Close()
		return nil, cmp.Or(s.lost(), s.out.closing(), ErrReset)
	}
	st.y = y
	return st, nil
}

// Accept waits for the next stream that the client opens. An error means that
// the session has ended.
func (s *Session) Accept() (*Stream, error) { return s.acceptStream() }

func (s *Session) acceptStream() (*Stream, error) {
	for {
		y, err := s.y.AcceptStream()
		if err != nil {
			// A stream that yamux could not confirm leaves the session in
			// doubt, so any error ends it.
			s.fail(err)
			return nil, s.lost()
		}
		if st := s.stream(y.StreamID()); st != nil {
			st.y = y
			return st, nil
		}
		_ = y.Close() // reset before it was accepted
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
	err := st.sendPrefix()
	st.writeMu.Unlock()
	if err != nil {
		st.Reset("refusal could not be sent: " + err.Error())
		return
	}
	st.Reset(r.String())
}
