package admin

// The documents beside Status: what is asked for alone.

// Links is the document of the links alone.
type Links struct {
	Schema int    `json:"schema"`
	Links  []Link `json:"links"`
}

// Peers is the document of the peers alone.
type Peers struct {
	Schema int    `json:"schema"`
	Peers  []Peer `json:"peers"`
}

// Sessions is the document of what is live: sessions, and the streams on them if
// they were asked for.
type Sessions struct {
	Schema   int       `json:"schema"`
	Sessions []Session `json:"sessions"`
	Streams  []Stream  `json:"streams,omitzero"`
}

// Events is the document of what has happened, oldest first.
type Events struct {
	Schema int     `json:"schema"`
	Events []Event `json:"events"`
}

// Killed is what [Ambassador.Kill] has ended.
type Killed struct {
	Schema int    `json:"schema"`
	ID     string `json:"id"`
	Kind   string `json:"kind"` // session or stream
}

// Done is the answer to what has nothing else to say.
type Done struct {
	Schema int  `json:"schema"`
	OK     bool `json:"ok"`
}

// Readiness is what "ambassador healthcheck" and "ambassador wait" say.
type Readiness struct {
	Schema  int    `json:"schema"`
	Ready   bool   `json:"ready"`
	Verdict string `json:"verdict"`
}

// Drained is what "ambassador drain" says.
type Drained struct {
	Schema  int    `json:"schema"`
	Ended   bool   `json:"ended"`
	Verdict string `json:"verdict"`
}

// Failure is the answer when something could not be done.
type Failure struct {
	Schema int    `json:"schema"`
	Error  string `json:"error"`
}
