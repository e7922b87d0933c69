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
	// easyWindow is what a window grows to as soon as it is used: large enough
	// for updates to be rare, small enough for many streams.
	easyWindow = 1 << 20
	// maxWindow is 10 Gbit/s at 50 ms.
	maxWindow = 64 << 20
)

// window is the receiving side of a stream's flow control. It grows as far as
// the path needs: while half of it is read in less than two round trips, the
// sender may be waiting for it (as quic-go and gRPC judge it).
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

// read counts bytes that were read, and returns how many to grant.
func (w *window) read(n int, s *Session) (grant uint32) {
	w.owed += n
	if w.owed < w.size/2 {
		return 0
	}
	now := time.Now()
	if w.size < maxWindow && (w.size < easyWindow || now.Sub(w.last) < 2*s.life.roundTrip()) && s.memory.grow(w.size) {
		w.owed += w.size
		w.size *= 2
	}
	w.last = now
	g := w.owed
	w.left += g
	w.owed = 0
	return uint32(g)
}

// close returns by how much the window had grown.
func (w *window) close() (extra int) {
	extra = w.size - initialWindow
	w.size = initialWindow
	return extra
}
