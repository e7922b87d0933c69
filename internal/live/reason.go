package live

// Reason says why a stream ended, or why there was none. Logs, metrics, status
// and the dashboard use its words.
type Reason uint8

// The reasons there are. Who ended it comes first: the consumer, the backend, the
// session between the ambassadors, or an ambassador.
const (
	Running Reason = iota // it has not ended

	ConsumerClosed // both ends sent FIN, the consumer first
	BackendClosed  // both ends sent FIN, the backend first
	ConsumerReset  // the consumer aborted
	BackendReset   // the backend aborted
	ConsumerLost   // the consumer stopped answering: a TCP timeout, or no route
	BackendLost    // the backend stopped answering
	SessionLost    // the session ended under the stream

	IdleHalfClosed // one end sent FIN, and the other direction was silent for too long
	MemoryLimit    // its reader was the slowest when the memory for unread bytes was used up
	DrainTimeout   // the ambassador ended before the stream did
	LinkWithdrawn  // the client's grant for the link was taken back
	ClientDenied   // the client was revoked, or its grant could not be read
	Killed         // an operator ended it
	Aborted        // an ambassador ended it for another cause, which the log has

	ConsumerGone       // the consumer left before it was connected
	NoSession          // no session with the provider within the hold budget
	NotGranted         // no such link, or the client may not use it
	BackendRefused     // nothing listens on the backend's port
	BackendUnreachable // no route to the backend
	BackendTimeout     // the backend did not answer in time
	BackendUnknown     // the backend's name is not known, or its lookup failed
	BackendFailed      // the backend could not be reached for another cause
	StreamLimit        // the client, or all together, had as many streams as the provider takes
	Draining           // the ambassador that was to serve it was shutting down
	BadRequest         // the open header could not be understood

	// Reasons is how many there are.
	Reasons
)

var reasonNames = [Reasons]string{
	Running:        "running",
	ConsumerClosed: "consumer-closed", BackendClosed: "backend-closed",
	ConsumerReset: "consumer-reset", BackendReset: "backend-reset",
	ConsumerLost: "consumer-lost", BackendLost: "backend-lost",
	SessionLost:    "session-lost",
	IdleHalfClosed: "idle-half-closed", MemoryLimit: "memory-limit", DrainTimeout: "drain-timeout",
	LinkWithdrawn: "link-withdrawn", ClientDenied: "client-denied", Killed: "killed", Aborted: "aborted",
	ConsumerGone: "consumer-gone", NoSession: "no-session", NotGranted: "not-granted",
	BackendRefused: "backend-refused", BackendUnreachable: "backend-unreachable", BackendTimeout: "backend-timeout",
	BackendUnknown: "backend-unknown", BackendFailed: "backend-failed",
	StreamLimit: "stream-limit", Draining: "draining", BadRequest: "bad-request",
}

// String gives the word.
func (r Reason) String() string {
	if r >= Reasons {
		return "unknown"
	}
	return reasonNames[r]
}

// words are the reasons by their words.
var words = func() map[string]Reason {
	m := make(map[string]Reason, Reasons)
	for r, word := range reasonNames {
		m[word] = Reason(r)
	}
	return m
}()

// ParseReason is the reason of a word.
func ParseReason(word string) (r Reason, known bool) {
	r, known = words[word]
	return r, known
}

// Orderly is true of an end that both sides finished with FIN.
func (r Reason) Orderly() bool { return r == ConsumerClosed || r == BackendClosed }

// Consumer is true when the consumer broke it off.
func (r Reason) Consumer() bool {
	return r == ConsumerReset || r == ConsumerLost || r == ConsumerGone
}

// Connected is true when the stream had reached its backend.
func (r Reason) Connected() bool { return r < ConsumerGone }
