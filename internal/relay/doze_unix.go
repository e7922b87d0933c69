//go:build unix

package relay

import (
	"sync"
	"time"
)

// dozeAfter is how often it is looked whether TCP sources move bytes. One that
// moved none from one look to the next is parked. Parking and waking cost two
// system calls and a new goroutine: nothing against a pause of this length, and
// short enough that a burst of connections that then idle is not remembered by
// its stacks.
const dozeAfter = 50 * time.Millisecond

// rouses are the TCP sources of the process that hold a goroutine. Most of the
// memory of an idle connection would be the stacks of those who wait for it.
var rouses roused

type roused struct {
	mu    sync.Mutex
	bytes map[*rawSource]int64 // that each had moved when last looked at
}

func (r *roused) add(s *rawSource) {
	if !canPark {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.bytes == nil {
		r.bytes = make(map[*rawSource]int64)
	}
	if len(r.bytes) == 0 {
		time.AfterFunc(dozeAfter, r.look)
	}
	r.bytes[s] = -1
}

// look has those doze that moved nothing since the last look. One that has ended
// is among them.
func (r *roused) look() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for s, before := range r.bytes {
		if now := s.moved.Load(); now != before {
			r.bytes[s] = now
			continue
		}
		delete(r.bytes, s)
		_ = s.from.conn.SetReadDeadline(time.Unix(1, 0)) // wakes wait; fails on a closed connection
	}
	if len(r.bytes) > 0 {
		time.AfterFunc(dozeAfter, r.look)
	}
}

// doze parks the source, unless its end cannot be.
func (s *rawSource) doze() bool {
	_ = s.from.conn.SetReadDeadline(time.Time{}) // the next read tells of a closed connection
	s.roused = false                             // before another goroutine may run
	if s.from.park(s.resume) {
		return true
	}
	s.roused = true // stays awake, unwatched
	return false
}
