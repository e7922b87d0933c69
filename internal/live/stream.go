package live

import (
	"net"
	"strings"
	"time"
	"unicode"
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
	consumer string
	local    string
	since    time.Time

	// The table's mu guards the rest.
	port    uint16
	killed  bool
	number  uint32
	account *account
	session *Session
	backend net.Addr
	flow    Flow
	giveUp  func() // ends the wait for flow; nil when nobody waits
}

// OpenStream adds the row of a stream that is to reach a link's port. local is the
// local port that it came in by, empty on the provider's side. peer and link may be
// empty until On and Aim say more; link must be one of a small number.
func (t *Table) OpenStream(peer, link string, port uint16, consumer, local string) *Stream {
	if t == nil {
		return nil
	}
	s := &Stream{table: t, id: t.ids.Add(1), port: port, consumer: consumer, local: local, since: time.Now()}
	t.lock()
	defer t.mu.Unlock()
	t.streams[s.id] = s
	s.account = t.account(accountKey{peer, link})
	s.account.opened++
	return s
}

// ID is the stream's number in the process, 0 for none.
func (s *Stream) ID() uint64 {
	if s == nil {
		return 0
	}
	return s.id
}

// Waits notes what gives the stream up while it waits for a session or its
// backend, for an operator who ends it then. It holds until Carry or End.
func (s *Stream) Waits(giveUp func()) {
	if s == nil {
		return
	}
	s.table.mu.Lock()
	killed := s.killed
	s.giveUp = giveUp
	s.table.mu.Unlock()
	if killed {
		giveUp()
	}
}

// Aim notes the link and port that a stream turned out to be for.
func (s *Stream) Aim(link string, port uint16) {
	if s == nil {
		return
	}
	s.table.mu.Lock()
	defer s.table.mu.Unlock()
	s.port = port
	s.countFor(accountKey{s.account.key.peer, link})
}

// On notes the session that a stream goes over, and its number there.
func (s *Stream) On(session *Session, number uint32) {
	if s == nil || session == nil {
		return
	}
	s.table.mu.Lock()
	defer s.table.mu.Unlock()
	s.session, s.number = session, number
	s.countFor(accountKey{session.peer, s.account.key.link})
}

// countFor has a stream counted for another key than at first.
func (s *Stream) countFor(k accountKey) {
	if s.account.key == k {
		return
	}
	s.account.opened--
	s.table.dropUnused(s.account)
	s.account = s.table.account(k)
	s.account.opened++
}

// Connected notes that the stream has reached its backend. took is how long that
// was, and backend its address, which may be nil.
func (s *Stream) Connected(backend net.Addr, took time.Duration) {
	if s == nil {
		return
	}
	s.table.mu.Lock()
	defer s.table.mu.Unlock()
	s.backend = backend
	s.account.dials.observe(took)
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
	s.flow, s.giveUp = f, nil
	return !s.killed
}

// End removes the row and counts the stream under its reason, which is Killed for
// one that an operator has ended, by itself or with its session. It returns the
// reason that counts.
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
	if (s.killed || s.session != nil && s.session.killed) && !why.Orderly() {
		why = Killed
	}
	b := s.bytes()
	s.giveUp = nil
	s.account.ended[why]++
	s.account.done = s.account.done.Add(b)
	if s.session != nil {
		s.session.done = s.session.done.Add(b)
	}
	return why
}

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
		ID: s.id, Session: s.session.ID(), Stream: s.number, Peer: s.account.key.peer, Link: s.account.key.link, Port: s.port,
		Local: s.local, Since: s.since, Phase: phase, Bytes: s.bytes(),
	}
}

// describe adds what takes longer, and needs no lock of the table's.
func (s *Stream) describe(state *StreamState, backend net.Addr) {
	state.Consumer = printable(s.consumer)
	if backend != nil {
		state.Backend = backend.String()
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
	t.mu.Unlock()
	if s != nil {
		s.kill()
	}
	return s != nil
}

func (s *Stream) kill() {
	s.table.mu.Lock()
	s.killed = true
	flow, giveUp := s.flow, s.giveUp
	s.table.mu.Unlock()
	switch {
	case flow != nil:
		flow.Abort(Killed.String())
	case giveUp != nil:
		giveUp()
	}
}

// printable is what a peer has said, fit for a terminal.
func printable(s string) string {
	const most = 64 // bytes: an address and its port, or a version
	s = s[:min(len(s), most)]
	return strings.Map(func(r rune) rune {
		if r == unicode.ReplacementChar || !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, s)
}
