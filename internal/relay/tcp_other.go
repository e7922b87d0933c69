//go:build !linux

package relay

import (
	"io"
	"time"
)

// Elsewhere than on Linux the relay goes by what reads and writes tell: see the
// table at TCPEnd.

const (
	canSplice = false
	canPark   = false
)

// Reserve does what it does on Linux where there is anything to do.
func Reserve() {}

func readQueue(int) int { return 0 }

func (e *TCPEnd) endOfFile(int) error { return io.EOF }

func (e *TCPEnd) checkEOF() error { return io.EOF }

func (e *TCPEnd) sendFIN() error { return e.conn.CloseWrite() }

func (e *TCPEnd) beforeClose() { _ = e.conn.SetLinger(-1) } // fails only on a socket that is closed

func (e *TCPEnd) cause() error { return nil }

func (e *TCPEnd) drain(time.Duration) {}

func (e *TCPEnd) watch() {}

func (e *TCPEnd) unwatch() {}

func (e *TCPEnd) park(func()) bool { return false }
