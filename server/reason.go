package server

import (
	"errors"
	"net"

	"ambassador/internal/link"
	"ambassador/internal/live"
	"ambassador/internal/relay"
	"ambassador/mux"
)

// reason says why a stream that was relayed has ended, as it is seen from the
// whole path: behind the stream stands the client with its consumer.
func (ss *session) reason(r relay.Result) live.Reason {
	switch r.Reason {
	case relay.AClosed:
		return live.ConsumerClosed
	case relay.BClosed:
		return live.BackendClosed
	case relay.AReset, relay.ALost:
		return ss.cutBy(r.Err, live.ConsumerReset)
	case relay.BReset:
		return live.BackendReset
	case relay.BLost:
		return live.BackendLost
	case relay.IdleHalfClosed:
		return live.IdleHalfClosed
	}
	if why, known := live.ParseReason(r.Why); known {
		return why
	}
	return live.Aborted
}

// cutBy is why a stream was cut with err, or else a reason without further words.
func (ss *session) cutBy(err error, otherwise live.Reason) live.Reason {
	switch {
	case errors.Is(err, mux.ErrSessionLost) && ss.server.ctx.Err() != nil:
		return live.DrainTimeout
	case errors.Is(err, mux.ErrSessionLost):
		return live.SessionLost
	case errors.Is(err, mux.ErrMemory):
		return live.MemoryLimit
	}
	why, known := live.ParseReason(mux.ResetReason(err))
	switch {
	case !known || !fromClient[why]:
		return otherwise
	case why.Consumer():
		// It cannot know whether the backend was connected, which is the difference
		// between these.
		if otherwise == live.ConsumerGone || why == live.ConsumerGone {
			return otherwise
		}
	}
	return why
}

// fromClient are the reasons that a client can know better than we do. What it
// says of our backends, or of what we decide, is not taken from it.
var fromClient = map[live.Reason]bool{
	live.ConsumerReset: true, live.ConsumerLost: true, live.ConsumerGone: true, live.SessionLost: true,
	live.IdleHalfClosed: true, live.MemoryLimit: true, live.DrainTimeout: true, live.Killed: true,
}

// refusalOf is what a client is told of a failed dial.
func refusalOf(err error) mux.Refusal {
	switch live.DialReason(err) {
	case live.BackendRefused:
		return mux.RefusedBackendRefused
	case live.BackendUnreachable:
		return mux.RefusedBackendUnreachable
	case live.BackendTimeout:
		return mux.RefusedBackendTimeout
	case live.BackendUnknown:
		return mux.RefusedBackendUnknown
	}
	return mux.RefusedBackend
}

// dialReason says the same for a person: the kind of the failure, and nothing of
// the provider's network.
func dialReason(err error) string {
	var dns *net.DNSError
	if errors.Is(err, link.ErrSelf) {
		return "the link's target is the provider itself"
	}
	switch live.DialReason(err) {
	case live.BackendUnknown:
		if errors.As(err, &dns) && dns.IsNotFound {
			return "name not found"
		}
		return "name lookup failed"
	case live.BackendRefused:
		return "connection refused"
	case live.BackendUnreachable:
		return "unreachable"
	case live.BackendTimeout:
		return "timed out"
	}
	return "failed"
}
