package mux

import "math"

// A key of AES-GCM is good for 2^24.5 full records (RFC 8446 §5.5). crypto/tls
// changes keys when its peer asks for it (§4.6.3) and never asks itself, so that a
// session which has sent a good part of that many is to be replaced by a new one:
// its owner hears of it by AfterWorn. Streams that run stay where they are, and
// nothing keeps one of them from using the keys beyond the limit: SECURITY.md says
// so.

// defaultWornAfter is a sixth of the limit, 64 GiB in full records: those who
// stay on the session have the rest.
const defaultWornAfter = 1 << 22

// maxRecord is what one record holds at most, in bytes (RFC 8446 §5.1).
const maxRecord = 16 << 10

// wear counts the records that this side has encrypted. Session.mu guards f; the
// rest is the writer's alone, of whom there is one at a time.
type wear struct {
	left int64 // records until worn
	worn bool
	f    func()
}

// sent counts the records of one write of n bytes.
func (s *Session) sent(n int) {
	s.wear.left -= int64((n + maxRecord - 1) / maxRecord)
	if s.wear.left > 0 {
		return
	}
	s.wear.left = math.MaxInt64
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wear.worn = true
	s.tellWornLocked()
}

// AfterWorn has f called once, in a goroutine of its own, when this side has sent
// so many TLS records that a new session should replace this one, or now if it
// has.
func (s *Session) AfterWorn(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wear.f = f
	s.tellWornLocked()
}

func (s *Session) tellWornLocked() {
	if s.wear.worn && s.wear.f != nil {
		go s.wear.f()
		s.wear.f = nil
	}
}
