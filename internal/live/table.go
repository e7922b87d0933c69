package live

import (
	"cmp"
	"maps"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Table holds what an ambassador does. The zero value is ready to use, and so is
// nil, which keeps nothing. Methods may be called by several goroutines at once.
type Table struct {
	mu         sync.Mutex
	since      time.Time
	sessions   map[uint64]*Session
	first      *Stream // the list of live ones
	running    int     // its length
	accounts   map[accountKey]*account
	backends   map[backendKey]*Health
	backendLog backendLog
	handshakes map[string]uint64
	opened     uint64    // sessions
	lasted     Histogram // sessions

	ids    atomic.Uint64
	events events
}

// init makes the maps. mu is held.
func (t *Table) init() {
	if t.sessions != nil {
		return
	}
	t.since = time.Now()
	t.sessions = make(map[uint64]*Session)
	t.accounts = make(map[accountKey]*account)
	t.backends = make(map[backendKey]*Health)
	t.handshakes = make(map[string]uint64)
}

// lock locks a table that is ready to use.
func (t *Table) lock() {
	t.mu.Lock()
	t.init()
}

// HandshakeRefused counts a connection that became no session. why is one of the
// words of handshake.go.
func (t *Table) HandshakeRefused(why string) {
	if t == nil {
		return
	}
	t.lock()
	defer t.mu.Unlock()
	if !slices.Contains(HandshakeWords, why) {
		why = RefusedFailed
	}
	t.handshakes[why]++
}

// Snapshot reads the table, with its streams if they are asked for: they are the
// long part.
func (t *Table) Snapshot(withStreams bool) Snapshot {
	if t == nil {
		return Snapshot{At: time.Now()}
	}
	t.lock()
	s := Snapshot{
		At: time.Now(), Since: t.since, Handshakes: maps.Clone(t.handshakes),
		SessionsOpened: t.opened, SessionSeconds: t.lasted.clone(),
	}
	sessions := make(map[uint64]*SessionState, len(t.sessions))
	s.Sessions = make([]SessionState, 0, len(t.sessions))
	rows := make([]*Session, 0, len(t.sessions))
	for _, row := range t.sessions {
		rows = append(rows, row)
		s.Sessions = append(s.Sessions, row.state())
	}
	accounts := make(map[accountKey]*Account, len(t.accounts))
	for k, a := range t.accounts {
		accounts[k] = a.state()
	}
	for _, h := range t.backends {
		s.Backends = append(s.Backends, *h)
	}
	for i := range s.Sessions {
		sessions[s.Sessions[i].ID] = &s.Sessions[i]
	}
	var dialled []net.Addr
	var carried []*Stream
	if withStreams {
		s.Streams = make([]StreamState, 0, t.running)
		carried, dialled = make([]*Stream, 0, t.running), make([]net.Addr, 0, t.running)
	}
	for row := t.first; row != nil; row = row.next {
		state := row.state()
		if a := accounts[row.account.key]; a != nil {
			a.Streams++
			a.Bytes = a.Bytes.Add(state.Bytes)
		}
		if on := sessions[state.Session]; on != nil {
			on.Streams++
			on.Bytes = on.Bytes.Add(state.Bytes)
		}
		if withStreams {
			s.Streams = append(s.Streams, state)
			carried, dialled = append(carried, row), append(dialled, row.backend)
		}
	}
	t.mu.Unlock()
	// Streams that begin and end do not wait for what takes time or other locks.
	for i, row := range rows {
		row.describe(&s.Sessions[i])
	}
	for i, row := range carried {
		row.describe(&s.Streams[i], dialled[i])
	}
	for _, a := range accounts {
		s.Accounts = append(s.Accounts, *a)
	}
	s.sort()
	return s
}

func (s *Snapshot) sort() {
	slices.SortFunc(s.Sessions, func(a, b SessionState) int { return cmp.Compare(a.ID, b.ID) })
	slices.SortFunc(s.Streams, func(a, b StreamState) int { return cmp.Compare(a.ID, b.ID) })
	slices.SortFunc(s.Accounts, func(a, b Account) int {
		return cmp.Or(cmp.Compare(a.Peer, b.Peer), cmp.Compare(a.Link, b.Link))
	})
	slices.SortFunc(s.Backends, func(a, b Health) int {
		return cmp.Or(cmp.Compare(a.Link, b.Link), cmp.Compare(a.Port, b.Port))
	})
}
