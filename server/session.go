package server

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"ambassador/internal/link"
	"ambassador/internal/relay"
	"ambassador/mux"

	"go.uber.org/zap"
)

// openWithin bounds the wait for a stream's open header, which stands in its
// first frame.
const openWithin = 10 * time.Second

// drainGrace is how long a drained client has to close its session.
const drainGrace = time.Second

// session is one client's session.
type session struct {
	server *Server
	mux    *mux.Session
	peer   Peer // its Links are in grant
	grant  grant
	quota  *clientQuota

	welcomed chan struct{} // closed when the welcome was sent, or could not be

	ended  context.Context // done when the session is over
	cancel context.CancelFunc

	draining atomic.Bool
	refusing atomic.Bool    // a while into draining
	live     atomic.Int64   // streams being served
	streams  sync.WaitGroup // and the session's own goroutines
	telling  sync.Mutex     // held while links are sent
}

func newSession(s *Server, m *mux.Session, p Peer) *session {
	ss := &session{server: s, mux: m, peer: p, grant: grant{links: p.Links}, welcomed: make(chan struct{})}
	ss.ended, ss.cancel = context.WithCancel(context.Background())
	return ss
}

// log is for lines about the session. It is made for each line, so that an idle
// session keeps none, and lazy, so that a line which is not written costs little.
func (ss *session) log() *zap.Logger {
	return ss.server.log.WithLazy(zap.Stringer("client_addr", ss.mux.RemoteAddr()), zap.String("peer", ss.peer.Identity))
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
	ss.log().Info("client connected", zap.Int("links", len(ss.offers())))
	stop := context.AfterFunc(ss.server.ctx, func() { ss.mux.Close() })
	ss.streams.Add(1)
	ss.watchControl()
	ss.mux.Handle(func(st *mux.Stream) {
		ss.live.Add(1)
		ss.streams.Add(1)
		go ss.serveStream(st)
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
		ss.log().Info("client disconnected", zap.NamedError("close_reason", reason), zap.Duration("duration", time.Since(began)))
	})
}

// watchControl ends the session of a client that breaks the protocol. Clients
// have nothing to say after their hello in this version.
func (ss *session) watchControl() {
	control := ss.mux.Control()
	for !control.Park(ss.watchControl) {
		if _, err := control.Receive(); err != nil {
			if ss.mux.Err() == nil {
				ss.log().Warn("client's control stream failed, ending its session", zap.Error(err))
			}
			ss.streams.Done()
			ss.mux.Close()
			return
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

// serveStream connects one stream with its backend, which goes on after it
// returns.
func (ss *session) serveStream(st *mux.Stream) {
	o, err := st.ReadOpen(openWithin)
	if err != nil {
		ss.log().Debug("stream without a usable open header", zap.Uint32("stream", st.ID()), zap.Error(err))
		st.Refuse(mux.RefusedRequest, "")
		ss.done()
		return
	}
	if !ss.admit(st, o) {
		ss.done()
		return
	}
	port, backend := ss.connect(st, o)
	if backend == nil {
		ss.leave()
		ss.done()
		return
	}
	end := relay.TCP(backend)
	running := relay.New(st, end, relay.Options{})
	leave, ok := ss.grant.enter(o.Link, running)
	if !ok { // it was withdrawn while its backend was being dialled
		end.Reset("link withdrawn")
		st.Refuse(mux.RefusedNoLink, "")
		ss.leave()
		ss.done()
		return
	}
	st.Connected()
	began := time.Now()
	running.Start(func(r relay.Result) {
		defer ss.done()
		defer ss.leave()
		leave()
		ss.logEnd(st, o, port, r, time.Since(began))
	})
}

// logEnd writes the one line of a stream that was served.
func (ss *session) logEnd(st *mux.Stream, o mux.Open, port link.Port, r relay.Result, d time.Duration) {
	if !ss.server.log.Core().Enabled(zap.DebugLevel) {
		return // most of what a short connection allocates would be this line's
	}
	ss.logOf(st, o).Debug("stream ended", zap.Stringer("backend_addr", port.Target),
		zap.Int64("bytes_in", r.BytesAB), zap.Int64("bytes_out", r.BytesBA), zap.Duration("duration", d),
		zap.String("close_reason", r.Reason.Name("client", "backend")), zap.Error(r.Err))
}

// logOf is for lines about a stream.
func (ss *session) logOf(st *mux.Stream, o mux.Open) *zap.Logger {
	return ss.log().WithLazy(zap.Uint32("stream", st.ID()), zap.String("link", o.Link), zap.Uint16("port", o.Port), zap.String("consumer", o.Consumer))
}

// connect reaches the backend that a stream asks for. If it does not the stream
// is refused or reset, the log says why, and the connection is nil.
func (ss *session) connect(st *mux.Stream, o mux.Open) (link.Port, *net.TCPConn) {
	if ss.refusing.Load() {
		st.Refuse(mux.RefusedDraining, "")
		return link.Port{}, nil
	}
	port, ok := ss.lookup(o)
	if !ok {
		ss.warn(ss.logOf(st, o), "stream refused: no such link, or not granted", o, "")
		st.Refuse(mux.RefusedNoLink, "")
		return link.Port{}, nil
	}
	backend, err := ss.dial(st, port.Target, o.Hold)
	switch {
	case errors.Is(err, errNobodyWaits):
		ss.logOf(st, o).Debug("consumer gone before the backend was reached", zap.Stringer("backend_addr", port.Target), zap.Error(err))
		st.Reset("consumer gone")
	case err != nil:
		ss.warn(ss.logOf(st, o), "backend not reached", o, dialReason(err), zap.Stringer("backend_addr", port.Target), zap.Error(err))
		st.Refuse(mux.RefusedBackend, dialReason(err))
	}
	return port, backend
}

func (ss *session) lookup(o mux.Open) (link.Port, bool) {
	l, ok := ss.server.catalogue[o.Link]
	if !ok || !ss.grant.covers(o.Link) {
		return link.Port{}, false
	}
	return l.Port(o.Port)
}

// dial reaches the backend within the client's hold budget. It stops when the
// stream is cut: nobody is left to connect.
func (ss *session) dial(st *mux.Stream, t link.Target, hold time.Duration) (*net.TCPConn, error) {
	ctx, cancel := context.WithCancelCause(ss.server.ctx)
	defer cancel(nil)
	stop := st.AfterAbort(func(err error) { cancel(fmt.Errorf("%w: %w", errNobodyWaits, err)) })
	defer stop()
	backend, err := ss.server.Dialer.Dial(ctx, t, min(hold, ss.server.MaxHold))
	if cause := context.Cause(ctx); err != nil && cause != nil {
		return nil, cause
	}
	return backend, err
}

// errNobodyWaits: the stream was cut while its backend was being dialled.
var errNobodyWaits = errors.New("nobody waits for the backend")

// warn warns of a stream that was not served, once a minute for the same peer,
// link and port.
func (ss *session) warn(log *zap.Logger, msg string, o mux.Open, why string, fields ...zap.Field) {
	ss.server.seen.warn(log, ss.peer.Identity, msg, fmt.Sprintf("%s\x00%d\x00%s", o.Link, o.Port, why), fields...)
}

// dialReason says what a client may know of a failed dial: its kind, and
// nothing of the provider's network.
func dialReason(err error) string {
	var dns *net.DNSError
	switch {
	case errors.Is(err, link.ErrSelf):
		return "the link's target is the provider itself"
	case errors.As(err, &dns) && dns.IsNotFound:
		return "name not found"
	case errors.As(err, &dns):
		return "name lookup failed"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused"
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return "unreachable"
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded), errors.Is(err, syscall.ETIMEDOUT):
		return "timed out"
	}
	return "failed"
}
