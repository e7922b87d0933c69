package server

import (
	"fmt"
	"sync/atomic"

	"ambassador/internal/live"
	"ambassador/mux"

	"go.uber.org/zap"
)

// Defaults of the limits on streams. Each stream is a descriptor for its backend,
// and while it idles some 10 KiB of memory.
const (
	defaultMaxStreams       = 65536
	defaultMaxClientStreams = 16384
)

// quota is a number of streams that is not exceeded. Its methods may be called
// by several goroutines at once.
type quota struct{ taken atomic.Int64 }

func (q *quota) take(limit int) bool {
	for {
		n := q.taken.Load()
		if n >= int64(limit) {
			return false
		}
		if q.taken.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

func (q *quota) giveBack() { q.taken.Add(-1) }

// clientQuota is shared by the sessions of one client: another session gets it
// no further streams.
type clientQuota struct {
	quota
	dials    dials
	sessions int // Server.mu guards it
}

// quotaLocked is the quota of a client that has one more session. mu is held.
func (s *Server) quotaLocked(identity string) *clientQuota {
	q := s.clients[identity]
	if q == nil {
		q = new(clientQuota)
		s.clients[identity] = q
	}
	q.sessions++
	return q
}

// leaveQuotaLocked undoes quotaLocked. mu is held.
func (s *Server) leaveQuotaLocked(identity string) {
	if q := s.clients[identity]; q != nil {
		if q.sessions--; q.sessions == 0 {
			delete(s.clients, identity)
		}
	}
}

// admit counts one more stream, until leave. Over a limit it refuses the stream:
// the client is told which limit it was, the log its number and its name.
func (ss *session) admit(st *stream) bool {
	s := ss.server
	if !ss.quota.take(s.MaxClientStreams) {
		st.overLimit(fmt.Sprintf("this client has %d, as many as the provider lets it", s.MaxClientStreams), "max-client-streams", s.MaxClientStreams)
		return false
	}
	if !s.quota.take(s.MaxStreams) {
		ss.quota.giveBack()
		st.overLimit("the provider has as many as it takes from all of its clients", "max-streams", s.MaxStreams)
		return false
	}
	return true
}

// overLimit refuses a stream. The warning is the same for every link: which one it
// is does not matter to the limit.
func (st *stream) overLimit(reason, name string, limit int) {
	st.ss.server.seen.warn(st.log(), st.ss.peer.Identity, "stream refused: too many streams", name, zap.Stringer("close_reason", live.StreamLimit), zap.String("limit_name", name), zap.Int("limit", limit))
	st.mux.Refuse(mux.RefusedLimit, reason)
}

func (ss *session) leave() {
	ss.quota.giveBack()
	ss.server.quota.giveBack()
}
