package live

import (
	"fmt"
	"time"
)

type backendKey struct {
	link string
	port uint16
}

// Dialled notes what dialling a link's backend showed at a moment: why is Running
// when it answered, and took may be 0 if nobody knows. What is older than what is
// known is dropped.
func (t *Table) Dialled(link string, port uint16, why Reason, at time.Time, took time.Duration) {
	if t == nil {
		return
	}
	t.lock()
	k := backendKey{link, port}
	h := t.backends[k]
	if h == nil {
		h = &Health{Link: link, Port: port}
		t.backends[k] = h
	}
	if h.Known && at.Before(h.At) {
		t.mu.Unlock()
		return
	}
	was := *h
	h.Known, h.OK, h.Reason, h.At = true, why == Running, why, at
	if took > 0 {
		h.Took = took
	}
	changed := !was.Known || was.OK != h.OK || was.Reason != h.Reason
	if changed {
		h.Changed = at
	}
	line := t.backendLog.line(k, why, time.Now())
	t.mu.Unlock()
	if line != nil {
		line()
	}
	if changed && (was.Known || why != Running) {
		t.Event(dialEvent(link, port, why))
	}
}

func dialEvent(link string, port uint16, why Reason) Event {
	if why == Running {
		return Event{Kind: BackendUp, Link: link, Text: fmt.Sprintf("backend of %s:%d answers again", link, port)}
	}
	return Event{Kind: BackendDown, Link: link, Reason: why.String(), Problem: true, Text: fmt.Sprintf("backend of %s:%d does not answer", link, port)}
}

// Backend is what is known of a link's port.
func (t *Table) Backend(link string, port uint16) Health {
	if t == nil {
		return Health{Link: link, Port: port}
	}
	t.lock()
	defer t.mu.Unlock()
	if h := t.backends[backendKey{link, port}]; h != nil {
		return *h
	}
	return Health{Link: link, Port: port}
}

// Forget drops what is known of a link's port that there is no more.
func (t *Table) Forget(link string, port uint16) {
	if t == nil {
		return
	}
	t.lock()
	defer t.mu.Unlock()
	delete(t.backends, backendKey{link, port})
	delete(t.backendLog.told, backendKey{link, port})
}
