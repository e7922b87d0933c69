package live

import "time"

// Snapshot is a table at one moment. It shares nothing with the table.
type Snapshot struct {
	At       time.Time
	Since    time.Time // when the table began: the process, near enough
	Sessions []SessionState
	Streams  []StreamState // nil unless asked for
	Accounts []Account     // by peer and link, sorted
	Backends []Health      // by link and port, sorted
	// Handshakes is how many connections became no session, by the words that
	// HandshakeRefused was given.
	Handshakes map[string]uint64
	// SessionsOpened is how many there have been.
	SessionsOpened uint64
	SessionSeconds Histogram // durations of sessions that have ended
}

// SessionState is one live session.
type SessionState struct {
	ID       uint64 // unique in the process, and never used again
	Peer     string // the other ambassador's identity
	Remote   string // its address
	Local    string // our address
	Version  string // of its program; empty if it did not say
	Since    time.Time
	Draining bool
	RTT      time.Duration // 0 if not measured yet
	Silent   time.Duration // since anything was heard
	Streams  int
	Bytes    Bytes // of all its streams so far, running ones included
}

// StreamState is one live stream.
type StreamState struct {
	ID       uint64 // unique in the process, and never used again
	Session  uint64 // 0 while it waits for one, and always in forward
	Stream   uint32 // its number in the session, the same on both sides
	Peer     string
	Link     string
	Port     uint16
	Consumer string // the consumer's address
	Backend  string // the backend's address as dialled; the provider's side and forward only
	Local    string // the local port it came in by; the client's side and forward only
	Since    time.Time
	Phase    Phase
	Bytes    Bytes
}

// Phase is how far a stream is.
type Phase string

// The phases there are.
const (
	Waiting    Phase = "waiting"    // for a session
	Connecting Phase = "connecting" // to its backend
	Open       Phase = "open"
)

// Bytes are counts of payload, seen from the backend: In went to it, Out came from
// it.
type Bytes struct{ In, Out int64 }

// Add is the sum.
func (b Bytes) Add(c Bytes) Bytes { return Bytes{b.In + c.In, b.Out + c.Out} }

// Account is what has been counted for one peer and link since the table began.
type Account struct {
	Peer, Link  string
	Streams     int             // running
	Opened      uint64          // running ones included
	Ended       [Reasons]uint64 // by reason
	Bytes       Bytes           // running streams included
	DialSeconds Histogram       // time to connect streams to backends
}

// Health is what the last dial of a backend showed, whether a stream's or a
// check's.
type Health struct {
	Link    string
	Port    uint16
	Known   bool // false if none was dialled yet
	OK      bool
	Reason  Reason        // why not; Running if OK
	At      time.Time     // when that was
	Took    time.Duration // how long the dial took
	Changed time.Time     // since when it has been like this
}

// Event is something that has happened.
type Event struct {
	ID      uint64 // grows by one with each
	At      time.Time
	Kind    string // such as "session-opened"; see event.go
	Text    string // for a person
	Peer    string
	Link    string
	Reason  string // a close reason, or what else ended or failed; may be empty
	Problem bool   // an operator should look at it
}

// Streams is how many streams are live.
func (t *Table) Streams() int {
	if t == nil {
		return 0
	}
	t.lock()
	defer t.mu.Unlock()
	return t.running
}
