package client

import (
	"context"
	"errors"

	"ambassador/internal/live"
	"ambassador/internal/relay"
	"ambassador/mux"
)

// reason says why a stream that was relayed has ended, as it is seen from the
// whole path: behind the stream stands the provider with its backend.
func (c *Client) reason(r relay.Result, refused *mux.RefusedError) live.Reason {
	if refused != nil {
		return refusalReason(refused.Refusal)
	}
	if why := settled(r); why != live.Running {
		return why
	}
	switch {
	case c.ctx.Err() != nil: // Close resets the consumers, and ends the session
		return live.DrainTimeout
	case r.Reason == relay.AReset:
		return live.ConsumerReset
	case r.Reason == relay.ALost:
		return live.ConsumerLost
	case errors.Is(r.Err, mux.ErrSessionLost):
		return live.SessionLost
	case errors.Is(r.Err, mux.ErrMemory):
		return live.MemoryLimit
	case errors.Is(r.Err, mux.ErrProtocol):
		return live.Aborted
	}
	if why, known := live.ParseReason(mux.ResetReason(r.Err)); known {
		return why // the provider's word
	}
	return live.BackendReset
}

// settled is why a relay has ended, where its result says so by itself: else Running.
func settled(r relay.Result) live.Reason {
	switch r.Reason {
	case relay.AClosed:
		return live.ConsumerClosed
	case relay.BClosed:
		return live.BackendClosed
	case relay.IdleHalfClosed:
		return live.IdleHalfClosed
	case relay.Aborted:
		return abortReason(r)
	}
	return live.Running
}

// abortReason is why we cut a stream ourselves.
func abortReason(r relay.Result) live.Reason {
	if why, known := live.ParseReason(r.Why); known {
		return why
	}
	return live.Aborted
}

// refusalReason is what a provider's refusal means.
func refusalReason(r mux.Refusal) live.Reason {
	switch r {
	case mux.RefusedNoLink:
		return live.NotGranted
	case mux.RefusedBackendRefused:
		return live.BackendRefused
	case mux.RefusedBackendUnreachable:
		return live.BackendUnreachable
	case mux.RefusedBackendTimeout:
		return live.BackendTimeout
	case mux.RefusedBackendUnknown:
		return live.BackendUnknown
	case mux.RefusedDraining:
		return live.Draining
	case mux.RefusedRequest:
		return live.BadRequest
	case mux.RefusedLimit:
		return live.StreamLimit
	}
	return live.BackendFailed // RefusedBackend, and codes of later versions
}

// unserved is why a consumer came to no stream. ctx is whilePresent's.
func (c *Client) unserved(ctx context.Context, err error) live.Reason {
	var exposed *ExposeError
	cause := context.Cause(ctx)
	switch {
	case err == nil, errors.Is(cause, errKilled):
		return live.Killed
	case errors.Is(cause, errConsumerGone):
		return live.ConsumerGone
	case c.ctx.Err() != nil:
		return live.Draining
	case errors.As(err, &exposed):
		return live.NotGranted
	case errors.Is(err, ErrNoSession), errors.Is(err, mux.ErrSessionLost), errors.Is(err, mux.ErrRetired):
		return live.NoSession
	case errors.Is(err, mux.ErrProtocol):
		return live.BadRequest
	}
	return live.Aborted
}
