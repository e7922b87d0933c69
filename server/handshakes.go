package server

import (
	"container/list"
	"context"
	"sync"
)

// handshakes bounds the connections that are not authenticated yet. One above
// the bound ends the oldest: a flood of silent connections then costs the
// flooder its own, and a client's handshake takes milliseconds.
type handshakes struct {
	max int

	mu     sync.Mutex
	oldest list.List // of context.CancelFunc
}

// enter registers one by what ends it, and returns what to call when it is over.
func (h *handshakes) enter(cancel context.CancelFunc) (leave func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.oldest.Len() >= h.max {
		first := h.oldest.Front()
		first.Value.(context.CancelFunc)()
		h.oldest.Remove(first)
	}
	e := h.oldest.PushBack(cancel)
	return func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.oldest.Remove(e) // a no-op for one that was removed already
	}
}
