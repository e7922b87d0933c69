package live

import (
	"cmp"
	"net"
	"slices"
)

// Live are the live sessions, and the streams if they are asked for, by ID: a
// Snapshot of what comes and goes, without what has been counted. That is less
// than half of the work where there are as many clients as sessions.
func (t *Table) Live(withStreams bool) (sessions []SessionState, streams []StreamState) {
	if t == nil {
		return nil, nil
	}
	t.lock()
	sessions = make([]SessionState, 0, len(t.sessions))
	rows := make([]*Session, 0, len(t.sessions))
	at := make(map[*Session]int, len(t.sessions))
	for _, row := range t.sessions {
		at[row] = len(rows)
		rows = append(rows, row)
		sessions = append(sessions, row.state())
	}
	var dialled []net.Addr
	var carried []*Stream
	if withStreams {
		streams = make([]StreamState, 0, t.running)
		carried, dialled = make([]*Stream, 0, t.running), make([]net.Addr, 0, t.running)
	}
	for row := t.first; row != nil; row = row.next {
		if n, ok := at[row.session]; ok {
			sessions[n].Streams++
			sessions[n].Bytes = sessions[n].Bytes.Add(row.bytes())
		}
		if withStreams {
			streams = append(streams, row.state())
			carried, dialled = append(carried, row), append(dialled, row.backend)
		}
	}
	t.mu.Unlock()
	for i, row := range rows {
		row.describe(&sessions[i])
	}
	for i, row := range carried {
		row.describe(&streams[i], dialled[i])
	}
	slices.SortFunc(sessions, func(a, b SessionState) int { return cmp.Compare(a.ID, b.ID) })
	slices.SortFunc(streams, func(a, b StreamState) int { return cmp.Compare(a.ID, b.ID) })
	return sessions, streams
}
