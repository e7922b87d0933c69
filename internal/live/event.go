package live

import (
	"sync"
	"time"
)

// The kinds of event.
const (
	SessionOpened = "session-opened"
	SessionEnded  = "session-ended" // as was wanted
	SessionBroken = "session-lost"  // as nobody wanted
	BackendUp     = "backend-up"    // it answers again
	BackendDown   = "backend-down"  // it does not
	DoorClosed    = "client-denied" // at the door, or while it had a session
	LinksChanged  = "links-changed" // a client's, or ours
	Reloaded      = "reloaded"      // files were read again, or could not be
	Certificate   = "certificate"   // renewed, or not, or about to end
	Drained       = "draining"      // the ambassador is about to end
	Notice        = "notice"        // anything else
)

// keepEvents is how many are kept: about a screen of each of a dozen clients.
const keepEvents = 256

// A client that comes and goes, or a backend that does, must not take all the
// places: of one kind, peer and link this many are kept in a time.
const (
	keepAlike   = 10
	alikeWithin = time.Minute
	// maxAlike bounds what is remembered for that.
	maxAlike = 1000
)

// events are the last ones.
type events struct {
	mu    sync.Mutex
	last  [keepEvents]Event
	count uint64
	wake  chan struct{} // closed and replaced with each; nil while nobody waits
	alike map[alikeKey]alike
}

type alikeKey struct{ kind, peer, link string }

// alike counts events since a moment.
type alike struct {
	since time.Time
	count int
}

// Event keeps an event, and gives it its ID and, if it has none, the time. Of
// events that are alike some are left out when there are too many of them.
func (t *Table) Event(e Event) {
	if t == nil {
		return
	}
	if e.At.IsZero() {
		e.At = time.Now()
	}
	ev := &t.events
	ev.mu.Lock()
	defer ev.mu.Unlock()
	switch n := ev.alikeSoFar(e, time.Now()); {
	case n > keepAlike:
		return
	case n == keepAlike:
		e.Text += "; more of this kind are left out for a minute"
	}
	ev.count++
	e.ID = ev.count
	ev.last[e.ID%keepEvents] = e
	if ev.wake != nil {
		close(ev.wake)
		ev.wake = nil
	}
}

// alikeSoFar counts an event among those that are alike. mu is held.
func (ev *events) alikeSoFar(e Event, now time.Time) int {
	if ev.alike == nil || len(ev.alike) >= maxAlike {
		ev.alike = make(map[alikeKey]alike)
	}
	k := alikeKey{e.Kind, e.Peer, e.Link}
	a := ev.alike[k]
	if now.Sub(a.since) >= alikeWithin {
		a = alike{since: now}
	}
	a.count++
	ev.alike[k] = a
	return a.count
}

// Events are those after the one of that ID that are still kept, oldest first,
// and a channel that is closed with the next one.
func (t *Table) Events(after uint64) ([]Event, <-chan struct{}) {
	if t == nil {
		return nil, nil
	}
	ev := &t.events
	ev.mu.Lock()
	defer ev.mu.Unlock()
	if ev.count > keepEvents {
		after = max(after, ev.count-keepEvents)
	}
	var got []Event
	for id := after + 1; id <= ev.count; id++ {
		got = append(got, ev.last[id%keepEvents])
	}
	if ev.wake == nil {
		ev.wake = make(chan struct{})
	}
	return got, ev.wake
}
