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
	// ErrEnded: the session is lost because the other ambassador closed it, and said
	// so.
	ErrEnded = errors.New("the other ambassador closed the connection")
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
	// ErrCertificate: it failed because this side, a provider's, did not accept the
	// peer's certificate.
	ErrCertificate = errors.New("mux: certificate not accepted")
	// ErrUntrusted: it failed because the peer broke it off with an alert: most often
	// it did not accept this side's certificate.
	ErrUntrusted = errors.New("mux: handshake broken off by the peer")
)

// resetError is ErrReset, with the word that the reset brought, if any. PeerReset
// tells internal/relay, which does not know this package, that the end was the
// peer's own word and no loss.
type resetError struct{ word string }

// lostError is ErrSessionLost, which is no word of the peer's.
type lostError struct{}

func (lostError) Error() string   { return "mux: session lost" }
func (lostError) PeerReset() bool { return false }

func (e resetError) Error() string {
	if e.word == "" {
		return "mux: stream reset by the other ambassador"
	}
	return "mux: stream reset by the other ambassador: " + e.word
}
func (resetError) PeerReset() bool      { return true }
func (resetError) Is(target error) bool { return target == ErrReset }

// Refusal says why a provider did not connect a stream to a backend.
type Refusal byte

// The refusals, as they go over the wire.
const (
	// RefusedNoLink: the link does not exist, or the client may not use it.
	// The two are one on purpose: a client learns nothing about links that it
	// was not granted.
	RefusedNoLink Refusal = 1
	// RefusedBackend: the backend could not be reached within the hold budget, for
	// another cause than those from RefusedBackendRefused on.
	RefusedBackend Refusal = 2
	// RefusedDraining: the provider is shutting down.
	RefusedDraining Refusal = 3
	// RefusedRequest: the open header could not be understood.
	RefusedRequest Refusal = 4
	// RefusedLimit: the client, or all clients together, have as many streams
	// as the provider takes.
	RefusedLimit Refusal = 5
	// RefusedBackendRefused: nothing listens on the backend's port.
	RefusedBackendRefused Refusal = 6
	// RefusedBackendUnreachable: there is no route to the backend.
	RefusedBackendUnreachable Refusal = 7
	// RefusedBackendTimeout: the backend did not answer in time.
	RefusedBackendTimeout Refusal = 8
	// RefusedBackendUnknown: the backend's name could not be looked up.
	RefusedBackendUnknown Refusal = 9
)

func (r Refusal) String() string {
	switch r {
	case RefusedNoLink:
		return "no such link or not granted"
	case RefusedBackend, RefusedBackendRefused, RefusedBackendUnreachable, RefusedBackendTimeout, RefusedBackendUnknown:
		return "backend not reached"
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
