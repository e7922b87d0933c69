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
	Reloaded      = "reloaded"      // files were read again, or could not be
	Certificate   = "certificate"   // renewed, or not, or about to end
	Drained       = "draining"      // the ambassador is about to end
	Notice        = "notice"        // anything else
)

// keepEvents is how many are kept: about a screen of each of a dozen clients.
const keepEvents = 256

// events are the last ones.
type events struct {
	mu    sync.Mutex
	last  [keepEvents]Event
	count uint64
	wake  chan struct{} // closed and replaced with each; nil while nobody waits
}

// Event keeps an event, and gives it its ID and, if it has none, the time.
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
	ev.count++
	e.ID = ev.count
	ev.last[e.ID%keepEvents] = e
	if ev.wake != nil {
		close(ev.wake)
		ev.wake = nil
	}
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
