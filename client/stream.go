package client

import (
	"context"
	"errors"
	"fmt"
	"time"

	"ambassador/internal/live"
	"ambassador/internal/relay"
	"ambassador/mux"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// stream is one consumer's connection and the stream that carries it. It lives as
// long as the connection does, so that its size counts.
type stream struct {
	c       *Client
	route   *route
	address string        // the consumer's
	began   time.Duration // since the client did
	row     *live.Stream
	dest    *resolution // what was asked for, nil if it did not come to that
	session *live.Session
	mux     *mux.Stream // nil before there is one
	running *relay.Relay
}

// Bytes and Abort make it the table's flow. Bytes that went to no backend are not
// counted: a consumer's are sent on before it is known whether there is one.
func (st *stream) Bytes() (in, out int64) {
	in, out = st.running.Bytes()
	if !st.reached() {
		in = 0
	}
	return in, out
}

// Abort ends it for an operator.
func (st *stream) Abort(reason string) { st.running.Abort(reason) }

// refusalWithin is how long a refusal may be on its way when the hold budget is
// over.
const refusalWithin = 2 * time.Second

// reached says whether the stream is known to have come to its backend: the provider
// said so, or it said nothing for longer than it may try.
func (st *stream) reached() bool {
	if st.mux == nil {
		return false
	}
	return st.mux.Reached() || st.c.Hold > 0 && st.mux.Refusal() == nil && st.lasted() > st.c.Hold+refusalWithin
}

// lasted is for how long it has been there.
func (st *stream) lasted() time.Duration { return time.Since(st.c.began) - st.began }

// serveConsumer begins to carry one consumer's connection over a session. done is
// called when it has ended.
func (c *Client) serveConsumer(r *route, consumer *relay.TCPEnd, done func()) {
	st := &stream{c: c, route: r, address: consumer.Conn().RemoteAddr().String(), began: time.Since(c.began)}
	link, port := r.aim()
	st.row = c.Table.OpenStream(c.keeper.provider(), link, port, st.address, r.address)
	ctx, giveUp, stop := whilePresent(c.ctx, consumer)
	st.row.Waits(giveUp)
	err := st.open(ctx)
	stop()
	if err == nil && st.carry(consumer, done) {
		return
	}
	why := c.unserved(ctx, err)
	c.seen.turnAway(ctx, st.log(), consumer, r.address, why, err)
	st.ended(why, relay.Result{Err: err})
	done()
}

// carry relays the stream, unless an operator has ended it.
func (st *stream) carry(consumer *relay.TCPEnd, done func()) bool {
	running := relay.New(consumer, st.mux, relay.Options{HalfClosedIdle: st.c.HalfClosedIdle, NameA: "consumer", NameB: "backend"})
	st.running = running
	if !st.row.Carry(st) {
		st.mux.Reset(live.Killed.String())
		return false
	}
	st.c.ports.carried(consumer, running)
	if st.c.Table != nil {
		st.mux.AfterAnswer(func() { st.dialled(live.Running) })
	}
	running.Start(func(r relay.Result) {
		defer done()
		st.over(r)
	})
	return true
}

// over sees to what follows from the end of the relay.
func (st *stream) over(r relay.Result) {
	refused := st.mux.Refusal()
	why := st.c.reason(r, refused)
	if !st.reached() {
		r.BytesAB = 0
		if why.Consumer() {
			why = live.ConsumerGone
		}
	}
	if refused != nil {
		st.c.seen.warn(st.log().With(zap.Stringer("close_reason", why)), "consumer reset", st.route.address, refused)
		if saysOfBackend(why) {
			st.dialled(why)
		}
	}
	st.ended(why, r)
}

// dialled notes what the provider's answer says of the backend. How long its dial
// took is not said: a check's answer does.
func (st *stream) dialled(why live.Reason) {
	to := st.dest.dest
	st.c.Table.Dialled(to.link, to.port, why, time.Now(), 0)
}

// saysOfBackend is true of a refusal that tells how a dial went.
func saysOfBackend(why live.Reason) bool {
	switch why {
	case live.BackendRefused, live.BackendUnreachable, live.BackendTimeout, live.BackendUnknown, live.BackendFailed:
		return true
	}
	return false
}

// open finds a session within the hold budget and opens a stream on it.
func (st *stream) open(ctx context.Context) error {
	c := st.c
	opening, stop := context.WithTimeout(ctx, max(c.Hold, leastBudget))
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, max(c.Hold, 0))
	defer cancel()
	for {
		s, err := c.keeper.wait(ctx)
		if err != nil {
			return err
		}
		c.keeper.suspect(s)
		to, err := st.route.resolved()
		if err != nil {
			return err
		}
		dest := to.dest
		m, err := s.OpenContext(opening, mux.Open{
			Link: dest.link, Port: dest.port,
			Hold:     budgetLeft(c.Hold, st.lasted()),
			Consumer: st.address,
		}, nil)
		if (errors.Is(err, mux.ErrSessionLost) || errors.Is(err, mux.ErrRetired)) && ctx.Err() == nil {
			c.keeper.drop(s) // nothing of the consumer was sent: another session will do
			continue
		}
		if errors.Is(err, context.DeadlineExceeded) {
			return fmt.Errorf("%w that takes anything: it is stuck", ErrNoSession)
		}
		if err != nil {
			return err
		}
		st.mux, st.dest, st.session = m, to, s.row
		st.row.Aim(dest.link, dest.port)
		st.row.On(s.row, m.ID())
		return nil
	}
}

// leastBudget is what a backend gets at least when a consumer may wait at all, and
// a session that is up to take a stream whether it may or not.
// Nothing left would mean to the provider that there is no budget: one attempt
// for as long as a dial may take.
const leastBudget = 100 * time.Millisecond

// budgetLeft is the hold budget that goes to the provider.
func budgetLeft(hold, spent time.Duration) time.Duration {
	if hold <= 0 {
		return 0
	}
	return max(hold-spent, leastBudget)
}

// ended counts the stream and writes its one line.
func (st *stream) ended(why live.Reason, r relay.Result) {
	why = st.row.End(why)
	if level := endLevel(st.c.LogSessions); st.c.log.Core().Enabled(level) { // most of what a short connection allocates would be this line's
		logEnd(st.log(), level, r, why, st.lasted())
	}
}

// log is for lines about the stream. It is made for each line, so that an idle
// connection keeps none, and lazy, so that a line which is not written costs
// little.
func (st *stream) log() *zap.Logger {
	link, port := st.route.aim()
	if st.dest != nil {
		link, port = st.dest.dest.link, st.dest.dest.port
	}
	fields := []zap.Field{
		zap.String("client_addr", st.address), zap.String("local_addr", st.route.address),
		zap.String("link", link), zap.Uint16("port", port),
	}
	if peer := st.c.keeper.provider(); peer != "" {
		fields = append(fields, zap.String("peer", peer))
	}
	if id := st.session.ID(); id != 0 {
		fields = append(fields, zap.Uint64("session", id))
	}
	if st.mux != nil {
		fields = append(fields, zap.Uint32("stream", st.mux.ID()))
	}
	return st.c.log.WithLazy(fields...)
}

// endLevel is that of the line about a stream that has ended.
func endLevel(logSessions bool) zapcore.Level {
	if logSessions {
		return zap.InfoLevel
	}
	return zap.DebugLevel
}

// logEnd writes the one line of a consumer's connection.
func logEnd(log *zap.Logger, level zapcore.Level, r relay.Result, why live.Reason, d time.Duration) {
	log.Log(level, "stream ended", zap.Int64("bytes_in", r.BytesAB), zap.Int64("bytes_out", r.BytesBA),
		zap.Duration("duration", d), zap.Stringer("close_reason", why), zap.Error(r.Err))
}
