package admin

import (
	"context"
	"time"

	"ambassador/internal/live"
)

// Roles of an ambassador.
const (
	RoleProvider  = "provider"  // serve
	RoleClient    = "client"    // connect
	RoleForwarder = "forwarder" // forward
)

// Ambassador is what is shown and steered. Its functions may be called by several
// goroutines at once; each may be nil where its role has nothing to say.
type Ambassador struct {
	Role    string
	Build   Build
	Table   *live.Table
	Started time.Time

	// Facts are what changes seldom and is not in the table. It takes no longer
	// than a lock.
	Facts func() Facts
	// Check brings what the table knows of backends up to date: nothing is older
	// than maxAge when it returns, or ctx was done. Without streams to learn from
	// it dials. On a client it asks the provider. An error says why nothing could be
	// learnt, such as that there is no session.
	Check func(ctx context.Context, maxAge time.Duration) error
	// Reload reads files again, and says what could not be taken over.
	Reload func() error
	// Drain begins what SIGTERM begins, and returns at once.
	Drain func()

	refused refusals
}

// Facts are the settings and the state of an ambassador that are not counted.
type Facts struct {
	Identity string   // its own; empty in forward
	Provider string   // HOST:PORT as given; clients only
	Listen   []string // addresses that sessions come to, or consumers
	Draining bool
	// Tunnel is a client's session: empty while there is one, else why not.
	Tunnel string
	Links  []LinkFacts
	// Peers are the clients that a provider has let in, whether they are
	// connected or not; of a client, the provider.
	Peers        []PeerFacts
	Certificates []Certificate
	// Reloaded is when files were last read again, the zero time if never.
	Reloaded    time.Time
	ReloadError string // why they could not be taken over; empty if they were
	Warnings    []Warning
}

// LinkFacts are a link as configured, or as granted to a client.
type LinkFacts struct {
	Name  string
	Ports []PortFacts
}

// PortFacts are one port of a link.
type PortFacts struct {
	Number  uint16
	Backend string   // HOST:PORT as configured; not on a client
	Source  string   // where the port was found: flag, environment, …; may be empty
	Local   []string // open local addresses that lead there; not on a provider
	Reason  string   // why it cannot work whatever the backend does, such as "not granted"; empty if it can
}

// PeerFacts are a peer as it is known.
type PeerFacts struct {
	Identity string
	Links    []string  // granted; "*" stands for all
	NotAfter time.Time // its certificate's end, if known
	Revoked  bool
}
