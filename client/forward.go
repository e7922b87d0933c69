package client

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"ambassador/internal/link"
	"ambassador/internal/live"
	"ambassador/internal/relay"

	"go.uber.org/zap"
)

// Forwarder is the one tier of 2013: each local port leads straight to its
// target, in the clear. Set the fields before ListenAndServe and do not change
// them afterwards. Methods may be called by several goroutines at once.
type Forwarder struct {
	// Forwards says which local port leads where.
	Forwards []link.Forward
	// ExposeHost is the address that local ports bind. If empty, 127.0.0.1.
	ExposeHost string
	// Hold is how long a consumer waits for its target. If zero, 3 s; negative,
	// it does not wait.
	Hold time.Duration
	// HalfClosedIdle is how long a connection of which one end has finished may be
	// silent the other way. If zero, 24 h; see internal/relay.
	HalfClosedIdle time.Duration
	// Dialer reaches targets. Its Self is replaced: the forwarder's own listeners are
	// refused.
	Dialer link.Dialer
	// Listen opens local ports. If nil, plain TCP listeners.
	Listen func(network, address string) (net.Listener, error)
	// Table is told what happens. If nil, nothing is kept.
	Table *live.Table
	// LogSessions writes a line for every connection that ends at info level, not at
	// debug.
	LogSessions bool
	// Logger gets the forwarder's lines. If nil, none are written.
	Logger *zap.Logger

	start   sync.Once
	log     *zap.Logger
	ports   *ports
	seen    causes
	checker *live.Checker
	own     atomic.Pointer[func(netip.AddrPort) bool] // is it one of the listeners? nil before they are open
	ctx     context.Context                           // ends with Close
	cancel  context.CancelFunc
}

func (f *Forwarder) init() {
	f.start.Do(func() {
		f.log = f.Logger
		if f.log == nil {
			f.log = zap.NewNop()
		}
		if f.ExposeHost == "" {
			f.ExposeHost = defaultExposeHost
		}
		if f.Hold == 0 {
			f.Hold = defaultHold
		}
		relay.Reserve()
		f.ctx, f.cancel = context.WithCancel(context.Background())
		f.Dialer.Self = func(a netip.AddrPort) bool {
			own := f.own.Load()
			return own != nil && (*own)(a)
		}
		f.Table.LogBackends(f.log)
		f.checker = live.NewChecker(f.Table, f.checkTarget)
		f.ports = newPorts(f.Listen, f.log,
			"free it, or choose another: it is the number in the link variable's name, as in REDIS_PORT_6379_TCP, or the PORT argument")
	})
}

// ListenAndServe opens every local port, or none, and serves consumers until
// Shutdown or Close, and returns ErrClosed then. It fails with a *ListenError
// if a local port cannot be had.
func (f *Forwarder) ListenAndServe() error {
	f.init()
	if !f.ports.begin() {
		return ErrClosed
	}
	defer f.ports.end()
	addresses := make([]string, len(f.Forwards))
	for i, fw := range f.Forwards {
		addresses[i] = net.JoinHostPort(f.ExposeHost, strconv.Itoa(int(fw.Local)))
	}
	listeners, err := f.ports.open(addresses)
	if err != nil {
		return err
	}
	own := make([]net.Addr, len(listeners))
	for i, l := range listeners {
		own[i] = l.Addr()
	}
	isOwn := link.OwnListeners(own...)
	f.own.Store(&isOwn)
	for i, l := range listeners {
		fw := f.Forwards[i]
		f.log.Info("forwarding", zap.Stringer("address", l.Addr()), zap.String("link", fw.Link), zap.Stringer("backend_addr", fw.Target))
		local := l.Addr().String()
		f.ports.accept(l, func(consumer *relay.TCPEnd, done func()) { f.serveConsumer(fw, local, consumer, done) })
	}
	<-f.ports.stopped
	return ErrClosed
}

// forwarded is one consumer's connection.
type forwarded struct {
	f       *Forwarder
	to      link.Forward
	address string // the consumer's
	began   time.Time
	row     *live.Stream
	backend net.Addr // as dialled; nil before it is
}

// serveConsumer begins to forward one consumer's connection. done is called when
// it has ended.
func (f *Forwarder) serveConsumer(fw link.Forward, local string, consumer *relay.TCPEnd, done func()) {
	st := &forwarded{f: f, to: fw, address: consumer.Conn().RemoteAddr().String(), began: time.Now()}
	st.row = f.Table.OpenStream("", fw.Link, fw.Local, st.address, local)
	ctx, giveUp, stop := whilePresent(f.ctx, consumer)
	st.row.Waits(giveUp)
	backend, err := f.Dialer.DialEach(ctx, fw.Target, f.Hold, func(err error, took time.Duration) {
		f.Table.Dialled(fw.Link, fw.Local, live.DialReason(err), time.Now(), took)
	})
	stop()
	if err == nil && st.carry(consumer, backend, done) {
		return
	}
	why := f.unserved(ctx, err)
	f.seen.turnAway(ctx, st.log(), consumer, fw.Target.String(), why, err)
	st.ended(why, relay.Result{Err: err})
	done()
}

// carry relays the connection, unless an operator has ended it.
func (st *forwarded) carry(consumer *relay.TCPEnd, backend *net.TCPConn, done func()) bool {
	st.backend = backend.RemoteAddr()
	st.row.Connected(st.backend, time.Since(st.began))
	end := relay.TCP(backend)
	running := relay.New(consumer, end, relay.Options{HalfClosedIdle: st.f.HalfClosedIdle, NameA: "consumer", NameB: "backend"})
	if !st.row.Carry(running) {
		end.Reset(live.Killed.String())
		return false
	}
	st.f.ports.carried(consumer, running)
	running.Start(func(r relay.Result) {
		defer done()
		st.ended(st.f.reason(r), r)
	})
	return true
}

// reason says why a connection that was relayed has ended.
func (f *Forwarder) reason(r relay.Result) live.Reason {
	if why := settled(r); why != live.Running {
		return why
	}
	if f.ctx.Err() != nil { // Close resets the consumers
		return live.DrainTimeout
	}
	return map[relay.Reason]live.Reason{
		relay.AReset: live.ConsumerReset, relay.BReset: live.BackendReset,
		relay.ALost: live.ConsumerLost, relay.BLost: live.BackendLost,
	}[r.Reason]
}

// unserved is why a consumer came to no backend. ctx is whilePresent's.
func (f *Forwarder) unserved(ctx context.Context, err error) live.Reason {
	cause := context.Cause(ctx)
	switch {
	case err == nil, errors.Is(cause, errKilled):
		return live.Killed
	case errors.Is(cause, errConsumerGone):
		return live.ConsumerGone
	case f.ctx.Err() != nil:
		return live.Draining
	}
	return live.DialReason(err)
}

// ended counts the connection and writes its one line.
func (st *forwarded) ended(why live.Reason, r relay.Result) {
	why = st.row.End(why)
	if level := endLevel(st.f.LogSessions); st.f.log.Core().Enabled(level) {
		logEnd(st.log(), level, r, why, time.Since(st.began))
	}
}

// log is for lines about the connection.
func (st *forwarded) log() *zap.Logger {
	to := zap.Stringer("backend_addr", st.to.Target)
	if st.backend != nil {
		to = zap.Stringer("backend_addr", st.backend)
	}
	return st.f.log.WithLazy(zap.String("client_addr", st.address), zap.String("link", st.to.Link), zap.Uint16("port", st.to.Local), to)
}

// Check brings what Table knows of the targets up to date: what is older than
// maxAge is found out by dialling, and the connection is reset at once. A check
// takes 2 s at most, and several callers share one. It fails when ctx is done
// before, after Close, and without a Table.
func (f *Forwarder) Check(ctx context.Context, maxAge time.Duration) error {
	f.init()
	if f.Table == nil {
		return errNoTable
	}
	ports := make([]live.Port, len(f.Forwards))
	for i, fw := range f.Forwards {
		ports[i] = live.Port{Link: fw.Link, Number: fw.Local}
	}
	return f.checker.Check(ctx, ports, maxAge)
}

// errNoTable: nobody keeps what a check would find out.
var errNoTable = errors.New("client: nothing is known of targets without a table")

// checkTarget is the checker's dial.
func (f *Forwarder) checkTarget(ctx context.Context, p live.Port) error {
	i := slices.IndexFunc(f.Forwards, func(fw link.Forward) bool { return fw.Link == p.Link && fw.Local == p.Number })
	return f.Dialer.Check(ctx, f.Forwards[i].Target)
}

// Shutdown stops accepting consumers and waits until those accepted are done or
// ctx is. Then it closes what is left: with ctx's error if consumers were cut.
func (f *Forwarder) Shutdown(ctx context.Context) error {
	f.init()
	f.Table.Event(live.Event{Kind: live.Drained, Text: "draining: no new consumers"})
	f.ports.stop()
	err := f.ports.wait(ctx)
	return errors.Join(err, f.Close())
}

// Close resets every consumer and waits for the forwarder's goroutines. Safe to
// call more than once.
func (f *Forwarder) Close() error {
	f.init()
	f.ports.stop()
	f.cancel()
	f.checker.Close()
	f.ports.cut()
	f.ports.serving.Wait()
	return f.ports.wait(context.Background())
}
