package mux

import (
	"sync/atomic"

	"go.uber.org/zap"
)

// Defaults of Options and Memory, in bytes.
const (
	defaultSessionMemory = 64 << 20
	defaultMemory        = 512 << 20
)

// Memory bounds what the streams of several sessions hold unread, together. Its
// zero value is ready to use.
type Memory struct {
	// Limit is in bytes. If zero, 512 MiB.
	Limit int64

	used atomic.Int64
}

// Used is the number of bytes held at present.
func (m *Memory) Used() int64 { return m.used.Load() }

func (m *Memory) limit() int64 {
	if m.Limit == 0 {
		return defaultMemory
	}
	return m.Limit
}

// memory is one session's share: buffers of unread bytes, and the promise of
// windows that grew.
type memory struct {
	s      *Session
	limit  int64
	shared *Memory

	used  atomic.Int64
	grown atomic.Int64
}

// hold counts buffers that a stream's unread bytes fill. Over the limit, the
// stream that holds the most is reset: it is the one whose reader is slowest,
// and the others go on.
func (m *memory) hold(st *Stream, n int) {
	if n == 0 {
		return
	}
	used, total := m.used.Add(int64(n)), m.shared.used.Add(int64(n))
	if used <= m.limit && total <= m.shared.limit() {
		return
	}
	if victim := m.s.fullest(); victim != nil {
		m.s.log.Warn("memory for unread bytes is used up, resetting the slowest stream",
			zap.Uint32("stream", victim.id), zap.Int64("session_bytes", used), zap.Int64("session_limit", m.limit),
			zap.Int64("total_bytes", total), zap.Int64("total_limit", m.shared.limit()))
		victim.exhaust()
	}
}

func (m *memory) release(n int) {
	if n != 0 {
		m.used.Add(int64(-n))
		m.shared.used.Add(int64(-n))
	}
}

// grow asks for a window to grow by n bytes. What windows promise beyond their
// first size stays within the session's limit.
func (m *memory) grow(n int) bool {
	if m.grown.Add(int64(n)) <= m.limit {
		return true
	}
	m.grown.Add(int64(-n))
	return false
}

func (m *memory) shrink(n int) {
	if n != 0 {
		m.grown.Add(int64(-n))
	}
}

// fullest is the stream that holds the most unread bytes.
func (s *Session) fullest() *Stream {
	s.mu.Lock()
	defer s.mu.Unlock()
	var fullest *Stream
	most := 0
	for _, st := range s.streams {
		if n := st.holds(); n > most {
			fullest, most = st, n
		}
	}
	return fullest
}

func (st *Stream) holds() int {
	st.in.mu.Lock()
	defer st.in.mu.Unlock()
	return st.in.held
}

// exhaust resets a stream for the memory that it holds, at both ends.
func (st *Stream) exhaust() {
	st.sendReset()
	st.abort(ErrMemory)
	st.drop()
}
