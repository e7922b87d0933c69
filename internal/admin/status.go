package admin

import "time"

// Schema is the version of the documents below. Fields are added without a new
// one; what is there keeps its name and meaning. docs/control.md describes them.
const Schema = 1

// States of a link and of its ports.
const (
	StateUp       = "up"
	StateDegraded = "degraded" // a link that is there, while backends of it do not answer
	StateDown     = "down"     // a port whose backend does not answer; a link that leads nowhere: no session, or not granted
	StateUnknown  = "unknown"  // nothing is known of the backend yet
)

// Status is all that there is to see, but for single sessions and streams.
type Status struct {
	Schema   int       `json:"schema"`
	Role     string    `json:"role"`
	Build    Build     `json:"build"`
	PID      int       `json:"pid"`
	Time     time.Time `json:"time"`
	Started  time.Time `json:"started"`
	Identity string    `json:"identity,omitempty"`
	Provider string    `json:"provider,omitempty"` // HOST:PORT; clients only
	Listen   []string  `json:"listen"`

	// Ready is true when the tunnel is up and every link's backends answer.
	Ready    bool   `json:"ready"`
	Draining bool   `json:"draining"`
	Verdict  string `json:"verdict"` // one line for a person

	Sessions     int               `json:"sessions"`
	Streams      int               `json:"streams"`
	Links        []Link            `json:"links"`
	Peers        []Peer            `json:"peers"`
	Certificates []Certificate     `json:"certificates"`
	Handshakes   map[string]uint64 `json:"handshakes_refused"` // by reason
	Reload       *Reload           `json:"reload,omitempty"`
	Warnings     []Warning         `json:"warnings"`
}

// Build says which program it is.
type Build struct {
	Version  string `json:"version"`
	Commit   string `json:"commit,omitempty"`
	Modified bool   `json:"modified,omitempty"` // built from changed files
	Time     string `json:"time,omitempty"`     // the commit's, RFC 3339
	Go       string `json:"go"`
	Platform string `json:"platform"` // OS/ARCH
}

// Counts are what has been carried since the ambassador started, running
// streams included. Bytes in went to the backend, bytes out came from it.
type Counts struct {
	Streams  int               `json:"streams"` // running
	Opened   uint64            `json:"streams_opened"`
	Ended    map[string]uint64 `json:"streams_ended"` // by close reason
	BytesIn  int64             `json:"bytes_in"`
	BytesOut int64             `json:"bytes_out"`
}

// Link is one link.
type Link struct {
	Name   string `json:"name"`
	State  string `json:"state"`
	Reason string `json:"reason,omitempty"` // why it is not up
	Ports  []Port `json:"ports"`
	Counts
}

// Port is one port of a link.
type Port struct {
	Port        uint16     `json:"port"`
	Backend     string     `json:"backend,omitempty"`
	Source      string     `json:"source,omitempty"`
	Local       []string   `json:"local,omitempty"`
	State       string     `json:"state"`
	Reason      string     `json:"reason,omitempty"`
	Since       *time.Time `json:"since,omitempty"`   // of the state
	Checked     *time.Time `json:"checked,omitempty"` // when a dial last showed it
	DialSeconds float64    `json:"dial_seconds,omitempty"`
}

// Peer is another ambassador.
type Peer struct {
	Identity   string     `json:"identity"`
	Connected  bool       `json:"connected"`
	Revoked    bool       `json:"revoked,omitempty"`
	Links      []string   `json:"links,omitempty"`
	Sessions   int        `json:"sessions"`
	Addresses  []string   `json:"addresses,omitempty"`
	Version    string     `json:"version,omitempty"`
	Since      *time.Time `json:"since,omitempty"` // of its oldest session
	RTTSeconds float64    `json:"rtt_seconds,omitempty"`
	NotAfter   *time.Time `json:"certificate_not_after,omitempty"`
	Counts
}

// Session is one live session.
type Session struct {
	ID            string    `json:"id"` // as sessions --kill takes it
	Peer          string    `json:"peer"`
	Remote        string    `json:"remote"`
	Local         string    `json:"local"`
	Version       string    `json:"version,omitempty"`
	Since         time.Time `json:"since"`
	Draining      bool      `json:"draining,omitempty"`
	RTTSeconds    float64   `json:"rtt_seconds,omitempty"`
	SilentSeconds float64   `json:"silent_seconds"`
	Streams       int       `json:"streams"`
	BytesIn       int64     `json:"bytes_in"`
	BytesOut      int64     `json:"bytes_out"`
}

// Stream is one live forwarded connection.
type Stream struct {
	ID       string    `json:"id"` // as sessions --kill takes it
	Session  string    `json:"session,omitempty"`
	Stream   uint32    `json:"stream,omitempty"` // its number in the session, the same on both sides
	Peer     string    `json:"peer,omitempty"`
	Link     string    `json:"link"`
	Port     uint16    `json:"port"`
	Consumer string    `json:"consumer"`
	Backend  string    `json:"backend,omitempty"`
	Local    string    `json:"local,omitempty"`
	Since    time.Time `json:"since"`
	Phase    string    `json:"phase"` // waiting, connecting, open
	BytesIn  int64     `json:"bytes_in"`
	BytesOut int64     `json:"bytes_out"`
}

// Certificate is one of the ambassador's own.
type Certificate struct {
	Name     string     `json:"name"` // leaf, issuer, root
	Identity string     `json:"identity,omitempty"`
	NotAfter time.Time  `json:"not_after"`
	Renews   *time.Time `json:"renews,omitempty"`       // when it is to be renewed; nil if nobody does
	Attempt  *time.Time `json:"next_attempt,omitempty"` // after one that failed
	Error    string     `json:"error,omitempty"`        // why it was not renewed
}

// Reload is how the last reload went.
type Reload struct {
	Time  time.Time `json:"time"`
	OK    bool      `json:"ok"`
	Error string    `json:"error,omitempty"`
}

// Warning is what is about to break, and what to do about it.
type Warning struct {
	Text string `json:"text"`
	Fix  string `json:"fix,omitempty"`
}

// Event is something that has happened.
type Event struct {
	ID      uint64    `json:"id"`
	Time    time.Time `json:"time"`
	Kind    string    `json:"kind"`
	Text    string    `json:"text"`
	Peer    string    `json:"peer,omitempty"`
	Link    string    `json:"link,omitempty"`
	Reason  string    `json:"reason,omitempty"`
	Problem bool      `json:"problem,omitempty"`
}
