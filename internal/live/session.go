package live

import (
	"net"
	"time"
)

// Carrier is what a session's row asks the session itself when it is looked at.
// mux.Session is one.
type Carrier interface {
	RTT() time.Duration     // 0 if not measured yet
	Silence() time.Duration // since anything was heard
	RemoteAddr() net.Addr
	LocalAddr() net.Addr
}

// Session is the row of a live session. A nil one takes every call.
type Session struct {
	table   *Table
	id      uint64
	peer    string
	version string
	carrier Carrier
	end     func()
	since   time.Time
	visit   bool // it was made to look, and is no news

	// The table's mu guards the rest.
	draining bool
	killed   bool
	done     Bytes // of streams that have ended
}

// OpenSession adds the row of a session. end is called, in a goroutine of its
// own, when an operator wants the session ended.
func (t *Table) OpenSession(peer, version string, carrier Carrier, end func()) *Session {
	if t == nil {
		return nil
	}
	s := t.openSession(&Session{peer: peer, version: version, carrier: carrier, end: end})
	t.Event(Event{Kind: SessionOpened, Peer: peer, Text: "session opened from " + carrier.RemoteAddr().String()})
	return s
}

// OpenVisit is OpenSession for one that was made to look and is left again at once:
// it is shown and counted, but no event. The events that are kept are few, and whoever
// looks again and again must not push those out that say why.
func (t *Table) OpenVisit(peer, version string, carrier Carrier, end func()) *Session {
	if t == nil {
		return nil
	}
	return t.openSession(&Session{peer: peer, version: version, carrier: carrier, end: end, visit: true})
}

func (t *Table) openSession(s *Session) *Session {
	s.table, s.id, s.since = t, t.ids.Add(1), time.Now()
	t.lock()
	defer t.mu.Unlock()
	t.sessions[s.id] = s
	t.opened++
	return s
}

// ID is the session's number, 0 for none.
func (s *Session) ID() uint64 {
	if s == nil {
		return 0
	}
	return s.id
}

// Killed says whether an operator has ended the session.
func (s *Session) Killed() bool {
	if s == nil {
		return false
	}
	s.table.mu.Lock()
	defer s.table.mu.Unlock()
	return s.killed
}

// Drain notes that the session takes no new streams.
func (s *Session) Drain() {
	if s == nil {
		return
	}
	s.table.mu.Lock()
	defer s.table.mu.Unlock()
	s.draining = true
}

// End removes the row. why is nil after an end that was wanted.
func (s *Session) End(why error) {
	if s == nil {
		return
	}
	s.table.lock()
	_, there := s.table.sessions[s.id]
	delete(s.table.sessions, s.id)
	if there {
		s.table.lasted.observe(time.Since(s.since))
	}
	killed := s.killed
	s.table.mu.Unlock()
	if !there || s.visit {
		return
	}
	e := Event{Kind: SessionEnded, Peer: s.peer, Text: "session ended"}
	switch {
	case killed:
		e.Text, e.Reason = "session ended by an operator", Killed.String()
	case why != nil:
		e.Kind, e.Text, e.Reason, e.Problem = SessionBroken, "session lost", why.Error(), true
	}
	s.table.Event(e)
}

// state is the row without its running streams. The table's mu is held.
func (s *Session) state() SessionState {
	return SessionState{ID: s.id, Peer: s.peer, Since: s.since, Draining: s.draining, Bytes: s.done}
}

// describe adds what takes longer, and needs no lock of the table's.
func (s *Session) describe(state *SessionState) {
	state.Version = printable(s.version)
	state.Remote, state.Local = s.carrier.RemoteAddr().String(), s.carrier.LocalAddr().String()
	state.RTT, state.Silent = s.carrier.RTT(), s.carrier.Silence()
}

// KillSession ends the session of that ID, and says whether there was one. Its
// streams are reset first and end as Killed.
func (t *Table) KillSession(id uint64) bool {
	if t == nil {
		return false
	}
	t.lock()
	s := t.sessions[id]
	var on []*Stream
	if s != nil {
		s.killed = true
		for st := t.first; st != nil; st = st.next {
			if st.session == s {
				on = append(on, st)
			}
		}
	}
	t.mu.Unlock()
	if s == nil {
		return false
	}
	go func() {
		for _, st := range on {
			st.kill()
		}
		s.end()
	}()
	return true
}
