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
	log    *zap.Logger

	welcomed chan struct{} // closed when the welcome was sent, or could not be

	ended  context.Context // done when the session is over
	cancel context.CancelFunc

	draining atomic.Bool
	refusing atomic.Bool  // a while into draining
	live     atomic.Int64 // streams being served
	streams  sync.WaitGroup
	telling  sync.Mutex // held while links are sent
}

func newSession(s *Server, m *mux.Session, p Peer, log *zap.Logger) *session {
	ss := &session{server: s, mux: m, peer: p, grant: grant{links: p.Links}, log: log, welcomed: make(chan struct{})}
	ss.ended, ss.cancel = context.WithCancel(context.Background())
	return ss
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

// serve runs the session to its end and waits for all of its goroutines.
func (ss *session) serve() {
	began := time.Now()
	ss.log.Info("client connected", zap.Int("links", len(ss.offers())))
	stop := context.AfterFunc(ss.server.ctx, func() { ss.mux.Close() })
	defer stop()
	ss.streams.Go(ss.watchControl)
	for {
		st, err := ss.mux.Accept()
		if err != nil {
			break
		}
		ss.live.Add(1)
		ss.streams.Go(func() {
			defer ss.done()
			ss.serveStream(st)
		})
	}
	reason := ss.mux.Err()
	ss.mux.Close()
	ss.grant.end()
	ss.streams.Wait()
	ss.cancel()
	ss.server.removeSession(ss)
	ss.log.Info("client disconnected", zap.NamedError("close_reason", reason), zap.Duration("duration", time.Since(began)))
}

// watchControl ends the session of a client that breaks the protocol. Clients
// have nothing to say after their hello in this version.
func (ss *session) watchControl() {
	for {
		if _, err := ss.mux.Control().Receive(); err != nil {
			if ss.mux.Err() == nil {
				ss.log.Warn("client's control stream failed, ending its session", zap.Error(err))
			}
			ss.mux.Close()
			return
		}
	}
}

// done ends a drained session after its last stream.
func (ss *session) done() {
	if ss.live.Add(-1) == 0 && ss.draining.Load() {
		ss.endSoon()
	}
}

// drain tells the client to open no more streams here. The session ends after
// its last stream.
func (ss *session) drain() {
	if ss.draining.Swap(true) {
		return
	}
	<-ss.welcomed
	if err := ss.mux.Control().Send(mux.Message{Kind: mux.KindDrain}); err != nil {
		ss.log.Debug("drain could not be sent", zap.Error(err)) // the session has ended
	}
	// Streams that were on their way when the client was told are served.
	refuse := time.AfterFunc(drainGrace, func() { ss.refusing.Store(true) })
	context.AfterFunc(ss.ended, func() { refuse.Stop() })
	if ss.live.Load() == 0 {
		ss.endSoon()
	}
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

// serveStream connects one stream with its backend.
func (ss *session) serveStream(st *mux.Stream) {
	log := ss.log.With(zap.Uint32("stream", st.ID()))
	o, err := st.ReadOpen(openWithin)
	if err != nil {
		log.Debug("stream without a usable open header", zap.Error(err))
		st.Refuse(mux.RefusedRequest, "")
		return
	}
	log = log.With(zap.String("link", o.Link), zap.Uint16("port", o.Port), zap.String("consumer", o.Consumer))
	if ss.refusing.Load() {
		st.Refuse(mux.RefusedDraining, "")
		return
	}
	port, ok := ss.lookup(o)
	if !ok {
		ss.warn(log, "stream refused: no such link, or not granted", o, "")
		st.Refuse(mux.RefusedNoLink, "")
		return
	}
	backend, err := ss.dial(st, port.Target, o.Hold)
	if errors.Is(err, errNobodyWaits) {
		log.Debug("consumer gone before the backend was reached", zap.Stringer("backend_addr", port.Target), zap.Error(err))
		st.Reset("consumer gone")
		return
	}
	if err != nil {
		ss.warn(log, "backend not reached", o, dialReason(err), zap.Stringer("backend_addr", port.Target), zap.Error(err))
		st.Refuse(mux.RefusedBackend, dialReason(err))
		return
	}
	running := relay.New(st, relay.TCP(backend), relay.Options{})
	leave, ok := ss.grant.enter(o.Link, running)
	if !ok { // it was withdrawn while its backend was being dialled
		relay.TCP(backend).Reset("link withdrawn")
		st.Refuse(mux.RefusedNoLink, "")
		return
	}
	defer leave()
	st.Connected()
	began := time.Now()
	r := running.Run()
	log.Debug("stream ended", zap.Stringer("backend_addr", port.Target),
		zap.Int64("bytes_in", r.BytesAB), zap.Int64("bytes_out", r.BytesBA), zap.Duration("duration", time.Since(began)),
		zap.String("close_reason", r.Reason.Name("client", "backend")), zap.Error(r.Err))
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
	ss.server.seen.warn(log, msg, fmt.Sprintf("%s\x00%s\x00%d\x00%s", ss.peer.Identity, o.Link, o.Port, why), fields...)
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
