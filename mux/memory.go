package mux

import (
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// Defaults of Options and Memory, in bytes. A window is 256 KiB at first, so that
// a thousand readers of one session may stop before any is reset.
const (
	defaultSessionMemory = 256 << 20
	defaultMemory        = 1 << 30
)

// Memory bounds what the streams of several sessions hold unread, together. Its
// zero value is ready to use.
type Memory struct {
	// Limit is in bytes. If zero, 1 GiB.
	Limit int64

	used atomic.Int64

	mu       sync.Mutex
	sessions map[*memory]struct{}
}

// Used is the number of bytes held at present.
func (m *Memory) Used() int64 { return m.used.Load() }

func (m *Memory) limit() int64 {
	if m.Limit == 0 {
		return defaultMemory
	}
	return m.Limit
}

func (m *Memory) join(s *memory) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.sessions == nil {
		m.sessions = make(map[*memory]struct{})
	}
	m.sessions[s] = struct{}{}
}

func (m *Memory) leave(s *memory) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.sessions, s)
}

// largest is the session that holds the most.
func (m *Memory) largest() *memory {
	m.mu.Lock()
	defer m.mu.Unlock()
	var largest *memory
	for s := range m.sessions {
		if largest == nil || s.used.Load() > largest.used.Load() {
			largest = s
		}
	}
	return largest
}

// memory is one session's share: buffers of unread bytes, and the promise of
// windows that grew.
type memory struct {
	s      *Session
	limit  int64
	shared *Memory

	used  atomic.Int64
	grown atomic.Int64
	ended atomic.Bool // the session has; what is unread still counts

	warned atomic.Int64 // when: nanoseconds since the session's epoch, 0 for never
}

// hold counts buffers that unread bytes fill. Over a limit, a stream is reset:
// the slowest of the session that holds the most. The others go on.
func (m *memory) hold(n int) {
	if n == 0 {
		return
	}
	used, total := m.used.Add(int64(n)), m.shared.used.Add(int64(n))
	payer := m
	if total > m.shared.limit() {
		payer = m.shared.largest()
	} else if used <= m.limit {
		return
	}
	if payer == nil {
		return
	}
	if victim := payer.s.slowest(); victim != nil {
		m.s.log.Log(payer.level(), "memory for unread bytes is used up, resetting the slowest stream",
			zap.Stringer("client_addr", payer.s.RemoteAddr()), zap.Uint32("stream", victim.id),
			zap.Int64("session_bytes", payer.used.Load()), zap.Int64("session_limit", payer.limit),
			zap.Int64("total_bytes", total), zap.Int64("total_limit", m.shared.limit()))
		victim.exhaust()
	}
}

// warnEvery is how often a session's want of memory is worth a warning: a client
// that means harm decides how often it happens.
const warnEvery = int64(time.Minute)

// level is that of a line about the session's memory.
func (m *memory) level() zapcore.Level {
	now := max(m.s.life.now(), 1)
	last := m.warned.Load()
	if last != 0 && now-last < warnEvery || !m.warned.CompareAndSwap(last, now) {
		return zap.DebugLevel
	}
	return zap.WarnLevel
}

func (m *memory) release(n int) {
	if n == 0 {
		return
	}
	m.shared.used.Add(int64(-n))
	if m.used.Add(int64(-n)) <= 0 && m.ended.Load() {
		m.shared.leave(m)
	}
}

// end is called when the session has ended. As long as its readers have bytes to
// take it is one of those that may have to pay: else the living would, for the dead.
func (m *memory) end() {
	m.ended.Store(true)
	if m.used.Load() <= 0 {
		m.shared.leave(m)
	}
}

// short says that more than half of a limit is used.
func (m *memory) short() bool {
	return m.used.Load() > m.limit/2 || m.shared.used.Load() > m.shared.limit()/2
}

// grow asks for a window to grow by n bytes. What windows promise beyond their
// first size stays within half of the session's limit.
func (m *memory) grow(n int) bool {
	if m.short() {
		return false
	}
	if m.grown.Add(int64(n)) > m.limit/2 {
		m.grown.Add(int64(-n))
		return false
	}
	return true
}

func (m *memory) shrink(n int) {
	if n != 0 {
		m.grown.Add(int64(-n))
	}
}

// slowest is the stream whose unread bytes weigh most: their number times the
// time since its reader last took any.
func (s *Session) slowest() *Stream {
	now := s.life.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	var slowest *Stream
	most := 0.0
	for _, streams := range []map[uint32]*Stream{s.streams, s.unread} {
		for _, st := range streams {
			if w := st.weight(now); w > most {
				slowest, most = st, w
			}
		}
	}
	return slowest
}

// keepUnreadLocked remembers a stream that no frame can concern any more, until its
// owner has done with it, if its reader has not taken all. s.mu is held.
func (s *Session) keepUnreadLocked(st *Stream) {
	st.in.mu.Lock()
	defer st.in.mu.Unlock()
	if st.in.held == 0 || st.in.dropped {
		return
	}
	if s.unread == nil {
		s.unread = make(map[uint32]*Stream)
	}
	s.unread[st.id] = st
}

// dropUnread undoes keepUnreadLocked.
func (s *Session) dropUnread(st *Stream) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.unread[st.id] == st {
		delete(s.unread, st.id)
	}
}

func (st *Stream) weight(now int64) float64 {
	st.in.mu.Lock()
	defer st.in.mu.Unlock()
	return float64(st.in.held) * float64(1+now-st.in.since)
}

// exhaust resets a stream for the memory that it holds, at both ends.
func (st *Stream) exhaust() {
	st.mu.Lock()
	st.exhausted = true // before its reader can come to the end of what is left
	st.mu.Unlock()
	st.sendReset(resetCode("memory-limit"))
	st.abort(ErrMemory)
	st.drop()
}
