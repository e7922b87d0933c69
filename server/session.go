package server

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"ambassador/internal/live"
	"ambassador/mux"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// maxVersion bounds what is kept and logged of a client's version, in bytes.
const maxVersion = 64

// drainGrace is how long a drained client has to close its session.
const drainGrace = time.Second

// session is one client's session.
type session struct {
	server  *Server
	mux     *mux.Session
	peer    Peer // its Links are in grant
	version string
	visit   bool // the client says that it only looks
	grant   grant
	quota   *clientQuota
	row     atomic.Pointer[live.Session] // nil until it is served, and without a table
	asked   asked

	welcomed chan struct{} // closed when the welcome was sent, or could not be

	ended  context.Context // done when the session is over
	cancel context.CancelFunc

	draining atomic.Bool
	refusing atomic.Bool  // a while into draining
	live     atomic.Int64 // streams being served
	arrivals arrivals
	streams  sync.WaitGroup // and the session's own goroutines
	telling  sync.Mutex     // held while links are sent
}

func newSession(s *Server, m *mux.Session, p Peer, version string) *session {
	version = version[:min(len(version), maxVersion)] // the client may say what it likes
	ss := &session{server: s, mux: m, peer: p, version: version, grant: grant{links: p.Links}, welcomed: make(chan struct{})}
	ss.ended, ss.cancel = context.WithCancel(context.Background())
	return ss
}

// log is for lines about the session. It is made for each line, so that an idle
// session keeps none, and lazy, so that a line which is not written costs little.
func (ss *session) log() *zap.Logger {
	return ss.identified().WithLazy(zap.Stringer("client_addr", ss.mux.RemoteAddr()))
}

// identified is the logger with what a session is known by.
func (ss *session) identified() *zap.Logger {
	fields := []zap.Field{zap.String("peer", ss.peer.Identity)}
	if id := ss.row.Load().ID(); id != 0 {
		fields = append(fields, zap.Uint64("session", id))
	}
	return ss.server.log.WithLazy(fields...)
}

// offers is the part of the catalogue that the peer was granted.
func (ss *session) offers() []mux.Offer {
	var offers []mux.Offer
	for _, l := range ss.server.catalogue {
		if !ss.grant.covers(l.Name) {
			continue
		}
		o := mux.Offer{Name: l.Name}
		for _, p := range l.Ports {
			o.Ports = append(o.Ports, p.Number)
		}
		offers = append(offers, o)
	}
	slices.SortFunc(offers, func(a, b mux.Offer) int { return cmp.Compare(a.Name, b.Name) })
	return offers
}

// serve begins to serve the session, which holds no goroutine while it idles. ended
// is called when it is over and all of its goroutines are.
func (ss *session) serve(ended func()) {
	began := time.Now()
	row := ss.open()
	ss.row.Store(row)
	if ss.draining.Load() {
		row.Drain() // drain may not have found it
	}
	ss.log().Log(ss.level(), "client connected", zap.Int("links", len(ss.offers())), zap.String("version", ss.version))
	stop := context.AfterFunc(ss.server.ctx, func() {
		ss.grant.abort(live.DrainTimeout) // the client is told why
		ss.mux.Close()
	})
	ss.streams.Add(1)
	ss.watchControl()
	ss.mux.Handle(func(st *mux.Stream) {
		ss.live.Add(1)
		ss.streams.Add(1)
		ss.arrive(st)
	})
	ss.mux.AfterWorn(ss.askToRenew)
	ss.mux.AfterEnd(func() {
		defer ended()
		stop()
		reason := ss.mux.Err()
		ss.mux.Close()
		ss.grant.end()
		ss.streams.Wait()
		ss.cancel()
		ss.server.removeSession(ss)
		row.End(ss.lost(reason))
		if row.Killed() {
			reason = errKilled
		}
		ss.log().Log(ss.level(), "client disconnected", zap.NamedError("reason", reason), zap.Duration("duration", time.Since(began)))
	})
}

// visitAtMost bounds a visit. doctor's takes 15 s at most, and a client that calls
// its session a visit to stay out of the log has it for this long.
const visitAtMost = 30 * time.Second

// open makes the session's row.
func (ss *session) open() *live.Session {
	end := func() { ss.mux.Close() }
	if !ss.visit {
		return ss.server.Table.OpenSession(ss.peer.Identity, ss.version, ss.mux, end)
	}
	late := time.AfterFunc(visitAtMost, end)
	context.AfterFunc(ss.ended, func() { late.Stop() })
	return ss.server.Table.OpenVisit(ss.peer.Identity, ss.version, ss.mux, end)
}

// level is that of the lines about the session's begin and end: a visit is no change
// of state.
func (ss *session) level() zapcore.Level {
	if ss.visit {
		return zap.DebugLevel
	}
	return zap.InfoLevel
}

// lost is why a session was lost, or nil if its end was wanted: by us, or by the
// client, which closes the connection in good order.
func (ss *session) lost(reason error) error {
	if errors.Is(reason, mux.ErrClosed) || errors.Is(reason, mux.ErrEnded) || ss.draining.Load() {
		return nil
	}
	return reason
}

// watchControl takes what the client says after its hello, and ends the session of
// one that breaks the protocol. Kinds of message that this version does not know
// are passed over.
func (ss *session) watchControl() {
	control := ss.mux.Control()
	for !control.Park(ss.watchControl) {
		m, err := control.Receive()
		if err != nil {
			if ss.mux.Err() == nil {
				ss.server.seen.warn(ss.log(), ss.peer.Identity, "client's control stream failed, ending its session", err.Error(), zap.Error(err))
			}
			ss.streams.Done()
			ss.mux.Close()
			return
		}
		if m.Kind == mux.KindCheck {
			ss.answerCheck(time.Duration(m.MaxAge) * time.Millisecond)
		}
	}
}

// askToRenew has the client make a new session, when this one's keys are worn.
func (ss *session) askToRenew() {
	if !ss.grant.join(&ss.streams) {
		return // the session is over
	}
	defer ss.streams.Done()
	if err := ss.mux.Control().Send(mux.Message{Kind: mux.KindRenew}); err != nil {
		ss.log().Debug("client could not be asked to renew", zap.Error(err)) // the session has ended
	}
}

// done counts a stream that has ended. The last one ends a drained session.
func (ss *session) done() {
	defer ss.streams.Done()
	if ss.live.Add(-1) == 0 && ss.draining.Load() {
		ss.endSoon()
	}
}

// drain tells the client to open no more streams here. The session ends after
// its last stream. It does not wait for a client that reads nothing.
func (ss *session) drain() {
	if ss.draining.Swap(true) || !ss.grant.join(&ss.streams) {
		return
	}
	ss.row.Load().Drain()
	go func() {
		defer ss.streams.Done()
		<-ss.welcomed
		if err := ss.mux.Control().Send(mux.Message{Kind: mux.KindDrain}); err != nil {
			ss.log().Debug("drain could not be sent", zap.Error(err)) // the session has ended
		}
		// Streams that were on their way when the client was told are served.
		refuse := time.AfterFunc(drainGrace, func() { ss.refusing.Store(true) })
		context.AfterFunc(ss.ended, func() { refuse.Stop() })
		if ss.live.Load() == 0 {
			ss.endSoon()
		}
	}()
}

// endSoon leaves the first word to the client: the side that closes a TCP
// connection while bytes are on their way to it makes its kernel answer with a
// reset (RFC 9293 §3.6.1), which may overtake the last bytes that it sent. A
// stream that was on its way meanwhile keeps the session.
func (ss *session) endSoon() {
	late := time.AfterFunc(drainGrace, func() {
		if ss.live.Load() == 0 {
			ss.mux.Close()
		}
	})
	context.AfterFunc(ss.ended, func() { late.Stop() })
}
