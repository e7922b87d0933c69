package mux

import (
	"errors"
	"fmt"
)

// What a read or write on a [Stream], or a call on a [Session], may fail with.
// All are matched with errors.Is.
var (
	// ErrClosed: this side ended the session or the stream itself.
	ErrClosed = errors.New("mux: closed")
	// ErrReset: the other side aborted the stream. What it sent before was
	// delivered first.
	ErrReset error = resetError{}
	// ErrSessionLost: the session under the stream ended before the stream
	// did. What a reader got so far is not the whole.
	ErrSessionLost error = lostError{}
	// ErrMemory: the stream's reader was the slowest when the memory for unread
	// bytes was used up.
	ErrMemory = errors.New("mux: stream reset for the memory it held")
	// ErrRetired: Open on a session after Retire.
	ErrRetired = errors.New("mux: session takes no more streams")
	// ErrProtocol: the peer does not speak this protocol, or breaks it.
	ErrProtocol = errors.New("mux: protocol violation")
	// ErrSilent: nothing was heard from the peer for Options.DeadAfter.
	ErrSilent = errors.New("mux: peer is silent")
	// ErrNoALPN: the handshake succeeded but the peer did not agree to
	// [Protocol]. It is not an ambassador, or an incompatible one.
	ErrNoALPN = errors.New("mux: peer did not agree to " + Protocol)
	// ErrAuthentication: the TLS handshake failed. The cause is wrapped.
	ErrAuthentication = errors.New("mux: handshake failed")
)

// resetError is ErrReset. PeerReset tells internal/relay, which does not know
// this package, that the end was the peer's own word and no loss.
type resetError struct{}

// lostError is ErrSessionLost, which is no word of the peer's.
type lostError struct{}

func (lostError) Error() string   { return "mux: session lost" }
func (lostError) PeerReset() bool { return false }

func (resetError) Error() string   { return "mux: stream reset by the other ambassador" }
func (resetError) PeerReset() bool { return true }

// Refusal says why a provider did not connect a stream to a backend.
type Refusal byte

// The refusals, as they go over the wire.
const (
	// RefusedNoLink: the link does not exist, or the client may not use it.
	// The two are one on purpose: a client learns nothing about links that it
	// was not granted.
	RefusedNoLink Refusal = 1
	// RefusedBackend: the backend could not be reached within the hold budget.
	RefusedBackend Refusal = 2
	// RefusedDraining: the provider is shutting down.
	RefusedDraining Refusal = 3
	// RefusedRequest: the open header could not be understood.
	RefusedRequest Refusal = 4
	// RefusedLimit: the client, or all clients together, have as many streams
	// as the provider takes.
	RefusedLimit Refusal = 5
)

func (r Refusal) String() string {
	switch r {
	case RefusedNoLink:
		return "no such link or not granted"
	case RefusedBackend:
		return "backend unreachable"
	case RefusedDraining:
		return "provider is draining"
	case RefusedRequest:
		return "malformed request"
	case RefusedLimit:
		return "too many streams"
	}
	return fmt.Sprintf("refused (code %d)", byte(r))
}

// RefusedError is what a client's Read returns when the provider refused the
// stream.
type RefusedError struct {
	Refusal Refusal
	Reason  string // for a person; may be empty
}

func (e *RefusedError) Error() string {
	if e.Reason == "" {
		return "refused by the provider: " + e.Refusal.String()
	}
	return "refused by the provider: " + e.Refusal.String() + ": " + e.Reason
}
