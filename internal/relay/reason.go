package relay

import (
	"errors"
	"syscall"
)

// Reason says why a relay ended. The table is in the package comment.
type Reason uint8

// The reasons there are.
const (
	AClosed Reason = iota + 1
	BClosed
	AReset
	BReset
	ALost
	BLost
	IdleHalfClosed
	Aborted
)

// String gives the reason with the ends named a and b, such as "a-reset".
func (r Reason) String() string { return r.Name("a", "b") }

// Name gives the reason with the ends' own names, such as "consumer-reset".
func (r Reason) Name(a, b string) string {
	switch r {
	case AClosed:
		return a + "-closed"
	case BClosed:
		return b + "-closed"
	case AReset:
		return a + "-reset"
	case BReset:
		return b + "-reset"
	case ALost:
		return a + "-lost"
	case BLost:
		return b + "-lost"
	case IdleHalfClosed:
		return "idle-half-closed"
	case Aborted:
		return "aborted"
	}
	return "running"
}

// closedFirst is the reason of an orderly end.
func closedFirst(s side) Reason { return AClosed + Reason(s) }

// brokenBy is the reason of an end that began with err at s.
func brokenBy(s side, err error) Reason {
	var timeout interface{ Timeout() bool }
	var end interface{ PeerReset() bool }
	switch {
	case errors.As(err, &end) && !end.PeerReset():
		return ALost + Reason(s)
	case errors.As(err, &timeout) && timeout.Timeout(),
		errors.Is(err, syscall.EHOSTUNREACH),
		errors.Is(err, syscall.ENETUNREACH),
		errors.Is(err, syscall.ENETDOWN):
		return ALost + Reason(s)
	}
	return AReset + Reason(s)
}
