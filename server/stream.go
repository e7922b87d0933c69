package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"time"

	"ambassador/internal/link"
	"ambassador/internal/live"
	"ambassador/internal/relay"
	"ambassador/mux"

	"go.uber.org/zap"
)

// openWithin bounds the wait for a stream's open header, which stands in its
// first frame.
const openWithin = 10 * time.Second

// stream is one stream that is being served. It lives as long as that, so that its
// size counts.
type stream struct {
	ss    *session
	mux   *mux.Stream
	began time.Duration // since the server did
	open  mux.Open
	to    *link.Port // nil until it is known
	row   *live.Stream
}

// lasted is for how long it has been there.
func (st *stream) lasted() time.Duration { return time.Since(st.ss.server.began) - st.began }

// serveStream connects one stream with its backend, which goes on after it
// returns.
func (ss *session) serveStream(m *mux.Stream) {
	st := &stream{ss: ss, mux: m, began: time.Since(ss.server.began)}
	why, err := st.readOpen()
	ss.arrived()
	if why == live.Running {
		why, err = st.admitted()
	}
	if why != live.Running {
		st.ended(why, relay.Result{Err: err}, nil)
		ss.done()
	}
}

// readOpen learns what the stream is for.
func (st *stream) readOpen() (live.Reason, error) {
	ss := st.ss
	o, err := st.mux.ReadOpen(openWithin)
	st.open = o
	// A name that the client has made up is none to count by.
	name := ss.server.catalogue[o.Link].Name
	if name != "" {
		st.open.Link = name // one string for all streams
	}
	st.row = ss.server.Table.OpenStream(ss.peer.Identity, name, o.Port, o.Consumer, "")
	st.row.On(ss.row.Load(), st.mux.ID())
	if err == nil {
		return live.Running, nil
	}
	st.mux.Refuse(mux.RefusedRequest, "")
	if errors.Is(err, mux.ErrProtocol) || errors.Is(err, os.ErrDeadlineExceeded) {
		return live.BadRequest, err
	}
	return ss.cutBy(err, live.ConsumerGone), err // before its header had come
}

// admitted connects a stream within the limits.
func (st *stream) admitted() (live.Reason, error) {
	ss := st.ss
	if !ss.admit(st) {
		return live.StreamLimit, nil
	}
	backend, why, err := st.connect()
	if backend == nil {
		ss.leave()
		return why, err
	}
	why = st.carry(backend)
	if why != live.Running {
		ss.leave()
	}
	return why, nil
}

// connect reaches the backend that a stream asks for. If it does not the stream
// is refused or reset, and the connection is nil.
func (st *stream) connect() (*net.TCPConn, live.Reason, error) {
	ss := st.ss
	if ss.refusing.Load() {
		st.mux.Refuse(mux.RefusedDraining, "")
		return nil, live.Draining, nil
	}
	st.to = ss.lookup(st.open)
	if st.to == nil {
		st.warn("stream refused: no such link, or not granted", "", zap.Stringer("close_reason", live.NotGranted))
		st.mux.Refuse(mux.RefusedNoLink, "")
		return nil, live.NotGranted, nil
	}
	target := st.to.Target
	backend, err := st.dial()
	switch {
	case errors.Is(err, errNoTurn):
		st.overLimit(fmt.Sprintf("%d connections of this client to the link are being made, as many as the provider lets it", ss.server.MaxClientDials),
			"max-client-dials", ss.server.MaxClientDials)
		return nil, live.StreamLimit, err
	case errors.Is(err, errKilled):
		st.mux.Reset(live.Killed.String())
		return nil, live.Killed, err
	case errors.Is(err, errNobodyWaits):
		st.log().Debug("consumer gone before the backend was reached", zap.Stringer("backend_addr", target), zap.Error(err))
		st.mux.Reset(live.ConsumerGone.String())
		return nil, ss.cutBy(err, live.ConsumerGone), err
	case err != nil && ss.server.ctx.Err() != nil:
		st.mux.Refuse(mux.RefusedDraining, "")
		return nil, live.Draining, err
	case err != nil:
		st.warn("backend not reached", dialReason(err), zap.Stringer("backend_addr", target), zap.Stringer("close_reason", live.DialReason(err)), zap.Error(err))
		st.mux.Refuse(refusalOf(err), dialReason(err))
		return nil, live.DialReason(err), err
	}
	return backend, live.Running, nil
}

// Why a dial was given up.
var (
	// errNobodyWaits: the stream was cut while its backend was being dialled.
	errNobodyWaits = errors.New("nobody waits for the backend")
	// errKilled: an operator ended it.
	errKilled = errors.New("ended by an operator")
)

// dial reaches the backend within the client's hold budget, when it is the stream's
// turn. It stops when the stream is cut: nobody is left to connect.
func (st *stream) dial() (*net.TCPConn, error) {
	s := st.ss.server
	if err := st.mux.Aborted(); err != nil {
		return nil, fmt.Errorf("%w: %w", errNobodyWaits, err)
	}
	ctx, cancel := context.WithCancelCause(s.ctx)
	defer cancel(nil)
	stop := st.mux.AfterAbort(func(err error) { cancel(fmt.Errorf("%w: %w", errNobodyWaits, err)) })
	defer stop()
	st.row.Waits(func() { cancel(errKilled) })
	began := time.Now()
	backend, err := st.dialInTurn(ctx)
	if cause := context.Cause(ctx); err != nil && cause != nil {
		return nil, cause
	}
	if err == nil {
		st.row.Connected(backend.RemoteAddr(), time.Since(began))
	}
	return backend, err
}

func (st *stream) dialInTurn(ctx context.Context) (*net.TCPConn, error) {
	s, began := st.ss.server, time.Now()
	hold := min(st.open.Hold, s.MaxHold)
	patience := hold
	if hold <= 0 {
		patience = turnWithoutHold
	}
	leave, err := st.ss.quota.dials.enter(ctx, st.open.Link, s.MaxClientDials, patience)
	if err != nil {
		return nil, err
	}
	defer leave()
	if hold > 0 {
		hold = max(hold-time.Since(began), leastBudget)
	}
	return s.Dialer.DialEach(ctx, st.to.Target, hold, func(err error, took time.Duration) {
		s.Table.Dialled(st.open.Link, st.to.Number, live.DialReason(err), time.Now(), took)
	})
}

// carry begins to relay the stream to its backend. If it says why not, both are
// reset.
func (st *stream) carry(backend *net.TCPConn) live.Reason {
	ss := st.ss
	end := relay.TCP(backend)
	running := relay.New(st.mux, end, relay.Options{HalfClosedIdle: ss.server.HalfClosedIdle, NameA: "consumer", NameB: "backend"})
	why := ss.grant.enter(st.open.Link, running)
	if why != live.Running { // it was withdrawn while its backend was being dialled
		end.Reset(why.String())
		st.mux.Refuse(mux.RefusedNoLink, "")
		return why
	}
	if !st.row.Carry(running) {
		ss.grant.leave(running)
		end.Reset(live.Killed.String())
		st.mux.Reset(live.Killed.String())
		return live.Killed
	}
	st.mux.Connected()
	running.Start(func(r relay.Result) {
		defer st.ss.done()
		defer st.ss.leave()
		st.ss.grant.leave(running)
		st.ended(st.ss.reason(r), r, backend.RemoteAddr())
	})
	return live.Running
}

// ended counts a stream and writes its one line.
func (st *stream) ended(why live.Reason, r relay.Result, backend net.Addr) {
	why = st.row.End(why)
	s := st.ss.server
	level := zap.DebugLevel
	if s.LogSessions {
		level = zap.InfoLevel
	}
	if !s.log.Core().Enabled(level) {
		return // most of what a short connection allocates would be this line's
	}
	log := st.log()
	if backend != nil {
		log = log.With(zap.Stringer("backend_addr", backend))
	} else if st.to != nil {
		log = log.With(zap.Stringer("backend_addr", st.to.Target))
	}
	log.Log(level, "stream ended", zap.Int64("bytes_in", r.BytesAB), zap.Int64("bytes_out", r.BytesBA),
		zap.Duration("duration", st.lasted()), zap.Stringer("close_reason", why), zap.Error(r.Err))
}

// log is for lines about a stream. Its client_addr is the consumer's address, as
// the client gives it: the client's own stands in the lines of its session.
func (st *stream) log() *zap.Logger {
	return st.ss.identified().WithLazy(zap.Uint32("stream", st.mux.ID()),
		zap.String("link", st.open.Link), zap.Uint16("port", st.open.Port), zap.String("client_addr", st.open.Consumer))
}

// warn warns of a stream that was not served, once a minute for the same peer,
// link, port and cause.
func (st *stream) warn(msg, why string, fields ...zap.Field) {
	what := fmt.Sprintf("%s\x00%d\x00%s", st.open.Link, st.open.Port, why)
	st.ss.server.seen.warn(st.log(), st.ss.peer.Identity, msg, what, fields...)
}

// lookup finds the port that a stream asks for, nil if there is none or the client
// may not use it.
func (ss *session) lookup(o mux.Open) *link.Port {
	l, ok := ss.server.catalogue[o.Link]
	if !ok || !ss.grant.covers(o.Link) {
		return nil
	}
	i := slices.IndexFunc(l.Ports, func(p link.Port) bool { return p.Number == o.Port })
	if i < 0 {
		return nil
	}
	return &l.Ports[i]
}
