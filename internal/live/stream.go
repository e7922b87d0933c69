package live

import (
	"net"
	"time"
)

// Flow is a stream that is being relayed. relay.Relay is one.
type Flow interface {
	Bytes() (ab, ba int64)
	Abort(reason string)
}

// Stream is the row of a live stream. A nil one takes every call.
type Stream struct {
	table    *Table
	id       uint64
	link     string
	port     uint16
	consumer string
	local    string
	since    time.Time

	// The table's mu guards the rest.
	peer    string
	session *Session
	number  uint32
	backend string
	flow    Flow
	killed  bool
}

// OpenStream adds the row of a stream that is to reach a link's port. local is the
// local port that it came in by, empty on the provider's side. peer may be empty
// until On says more.
func (t *Table) OpenStream(peer, link string, port uint16, consumer, local string) *Stream {
	if t == nil {
		return nil
	}
	s := &Stream{table: t, id: t.ids.Add(1), peer: peer, link: link, port: port, consumer: consumer, local: local, since: time.Now()}
	t.lock()
	defer t.mu.Unlock()
	t.streams[s.id] = s
	t.account(s.key()).opened++
	return s
}

// On notes the session that a stream goes over, and its number there.
func (s *Stream) On(session *Session, number uint32) {
	if s == nil {
		return
	}
	s.table.mu.Lock()
	defer s.table.mu.Unlock()
	s.session, s.number = session, number
}

// Connected notes that the stream has reached its backend. took is how long that
// was, and backend its address, which may be nil.
func (s *Stream) Connected(backend net.Addr, took time.Duration) {
	if s == nil {
		return
	}
	s.table.mu.Lock()
	defer s.table.mu.Unlock()
	if backend != nil {
		s.backend = backend.String()
	}
	s.table.account(s.key()).dials.observe(took)
}

// Carry notes what relays the stream from the consumer, its a, to the backend. Its
// bytes are read from there until End. It says no to a stream that an operator
// has killed.
func (s *Stream) Carry(f Flow) bool {
	if s == nil {
		return true
	}
	s.table.mu.Lock()
	defer s.table.mu.Unlock()
	s.flow = f
	return !s.killed
}

// End removes the row and counts the stream under its reason, which is Killed for
// one that an operator has ended. It returns the reason that counts.
func (s *Stream) End(why Reason) Reason {
	if s == nil {
		return why
	}
	s.table.lock()
	defer s.table.mu.Unlock()
	if _, there := s.table.streams[s.id]; !there {
		return why
	}
	delete(s.table.streams, s.id)
	if s.killed && !why.Orderly() {
		why = Killed
	}
	b := s.bytes()
	a := s.table.account(s.key())
	a.ended[why]++
	a.done = a.done.Add(b)
	if s.session != nil {
		s.session.done = s.session.done.Add(b)
	}
	return why
}

func (s *Stream) key() accountKey { return accountKey{s.peer, s.link} }

// bytes are the stream's so far. The table's mu is held.
func (s *Stream) bytes() Bytes {
	if s.flow == nil {
		return Bytes{}
	}
	in, out := s.flow.Bytes()
	return Bytes{In: in, Out: out}
}

// state is the row. The table's mu is held.
func (s *Stream) state() StreamState {
	phase := Waiting
	switch {
	case s.flow != nil:
		phase = Open
	case s.session != nil:
		phase = Connecting
	}
	return StreamState{
		ID: s.id, Session: s.session.ID(), Stream: s.number, Peer: s.peer, Link: s.link, Port: s.port,
		Consumer: s.consumer, Backend: s.backend, Local: s.local, Since: s.since, Phase: phase, Bytes: s.bytes(),
	}
}

// KillStream resets the stream of that ID at both ends, and says whether there
// was one.
func (t *Table) KillStream(id uint64) bool {
	if t == nil {
		return false
	}
	t.lock()
	s := t.streams[id]
	var flow Flow
	if s != nil {
		s.killed = true
		flow = s.flow
	}
	t.mu.Unlock()
	if flow != nil {
		flow.Abort("killed by an operator")
	}
	return s != nil
}
