package relay

import (
	"errors"
	"io"
)

// End is one end of a relay. Read, Write and the rest may be called from
// different goroutines at once, one reader and one writer at a time.
//
// An End may also have these methods, which save memory and time:
//
//	WaitReadable() error // blocks until a Read would not: the relay then holds no buffer while it waits
//	Park(push func([]byte) int, resume func()) bool // the same without a goroutine; see mux.Stream
//	Progress() int64     // grows while the peer takes bytes, also in the middle of one Write
//
// Without Progress, a peer counts as stopped when one Write of at most 128 KiB
// takes longer than 0.8 s after the other end aborted.
type End interface {
	io.Reader
	io.Writer

	// CloseWrite sends FIN after every byte written. Reading goes on.
	CloseWrite() error

	// Close ends both directions in good order. Idempotent.
	Close() error

	// Reset sends RST: the peer never sees a clean end. The reason is for logs.
	// Idempotent, and does nothing after Close.
	Reset(reason string)

	// AfterAbort arranges for f to run once, in its own goroutine, when the
	// peer aborts this end or what carries it is lost, also while nobody reads
	// or writes. If that has happened already f runs at once. stop reports
	// whether it kept f from running. An error may have a method PeerReset()
	// bool: true is the peer's own reset, and what came before it is delivered
	// with more patience; false is a loss.
	AfterAbort(f func(err error)) (stop func() bool)
}

// Errors found in [Result.Err], by errors.Is.
var (
	// ErrPeerAborted: the peer aborted the connection, and nothing told how.
	ErrPeerAborted = errors.New("connection aborted by the peer")

	// ErrIdle: [Options.HalfClosedIdle] passed.
	ErrIdle = errors.New("half-closed and silent too long")

	// ErrAborted: [Relay.Abort] was called.
	ErrAborted = errors.New("relay aborted")
)
