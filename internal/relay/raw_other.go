//go:build !unix

package relay

import "sync/atomic"

// newRawSource: reads by descriptor are for Unix; elsewhere a TCP end is read
// through net after WaitReadable.
func newRawSource(from, to End, moved *atomic.Int64, resume func()) source { return nil }

// WaitReadable blocks until a Read would not. On Windows the poller waits for
// readability with a read of no bytes when the callback says "not yet".
func (e *TCPEnd) WaitReadable() error {
	asked := false
	return e.raw.Read(func(uintptr) bool {
		again := asked
		asked = true
		return again
	})
}

// tryWrite leaves everything to Write.
func (e *TCPEnd) tryWrite([]byte) int { return 0 }

// writing needs nothing here.
type writing struct{}

// Write writes like net.Conn.
func (e *TCPEnd) Write(b []byte) (int, error) { return e.conn.Write(b) }
