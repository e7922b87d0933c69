package mux

import (
	"fmt"
	"time"
)

// The sizes of a stream's window in bytes: how far its sender may be ahead of
// its reader.
const (
	// initialWindow is that of every yamux stream (spec.md, "Flow Control").
	initialWindow = 256 << 10
	// easyWindow is what a window grows to for a reader that keeps up: large
	// enough for updates to be rare, small enough for many streams.
	easyWindow = 1 << 20
	// maxWindow is 10 Gbit/s at 50 ms.
	maxWindow = 64 << 20
	// tightWindow is for readers that are behind while memory is short.
	tightWindow = 64 << 10
)

// window is the receiving side of a stream's flow control. It grows for a reader
// that keeps up, as far as the path needs: while half of it is read in less than
// two round trips, the sender may be waiting for it (as quic-go and gRPC judge
// it). It shrinks for a reader that is behind, and has been for a while: there it
// would only be memory. A long path brings a window's bytes all at once, and whoever
// is still at them is not behind.
type window struct {
	size int       // bytes
	left int       // the peer may still send
	owed int       // read and not granted anew
	last time.Time // when it was last granted
}

func newWindow() window { return window{size: initialWindow, left: initialWindow} }

// take counts received bytes.
func (w *window) take(n int) error {
	if n > w.left {
		return fmt.Errorf("%w: %d bytes for a stream with a window of %d", ErrProtocol, n, w.left)
	}
	w.left -= n
	return nil
}

// behindAfter is how long, beyond two round trips, a reader has to be without having
// read all that there was, before it counts as behind.
const behindAfter = 100 * time.Millisecond

// read counts n bytes that were read while unread more wait, and returns how many to
// grant. The reader last had all that there was so long ago.
func (w *window) read(n, unread int, ago time.Duration, s *Session) (grant uint32) {
	w.owed += n
	if w.owed < w.size/2 {
		return 0
	}
	now := time.Now()
	switch {
	case unread >= w.size/2:
		if ago >= behindAfter+2*s.life.roundTrip() {
			w.shrink(&s.memory)
		}
	case unread < w.size/4 && w.wantsMore(now, s) && s.memory.grow(max(2*w.size-initialWindow, 0)-w.extra()):
		w.owed += w.size
		w.size *= 2
	}
	w.last = now
	g := w.owed
	w.left += g
	w.owed = 0
	return uint32(g)
}

func (w *window) wantsMore(now time.Time, s *Session) bool {
	return w.size < easyWindow || w.size < maxWindow && now.Sub(w.last) < 2*s.life.roundTrip()
}

// shrink keeps back what would make the window larger than a slow reader needs.
func (w *window) shrink(m *memory) {
	least := initialWindow
	if m.short() {
		least = tightWindow
	}
	keep := min(w.owed, max(w.size-least, 0))
	before := w.extra()
	w.size -= keep
	w.owed -= keep
	m.shrink(before - w.extra())
}

// extra is by how much the window has grown beyond its first size: that is what
// the session's memory is charged with, and given back.
func (w *window) extra() int { return max(w.size-initialWindow, 0) }

// close gives back by how much the window had grown.
func (w *window) close(m *memory) {
	m.shrink(w.extra())
	w.size = min(w.size, initialWindow)
}
