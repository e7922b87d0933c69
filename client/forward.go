package client

import (
	"context"
	"errors"
	"net"
	"strconv"
	"sync"
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
	// Dialer reaches targets. Its Self is set by ListenAndServe.
	Dialer link.Dialer
	// Listen opens local ports. If nil, plain TCP listeners.
	Listen func(network, address string) (net.Listener, error)
	// Table is told what goes on. If nil, nobody is.
	Table *live.Table
	// Logger gets the forwarder's lines. If nil, none are written.
	Logger *zap.Logger

	start  sync.Once
	log    *zap.Logger
	ports  *ports
	seen   causes
	ctx    context.Context // ends with Close
	cancel context.CancelFunc
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
		f.ctx, f.cancel = context.WithCancel(context.Background())
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
	f.Dialer.Self = link.OwnListeners(own...)
	for i, l := range listeners {
		fw := f.Forwards[i]
		f.log.Info("forwarding", zap.Stringer("address", l.Addr()), zap.String("link", fw.Link), zap.Stringer("backend_addr", fw.Target))
		f.ports.accept(l, func(consumer *relay.TCPEnd, done func()) { f.serveConsumer(fw, consumer, done) })
	}
	<-f.ports.stopped
	return ErrClosed
}

// serveConsumer begins to forward one consumer's connection. done is called when
// it has ended.
func (f *Forwarder) serveConsumer(fw link.Forward, consumer *relay.TCPEnd, done func()) {
	began := time.Now()
	address := consumer.Conn().RemoteAddr()
	ctx, stop := whilePresent(f.ctx, consumer)
	backend, err := f.Dialer.Dial(ctx, fw.Target, f.Hold)
	stop()
	if err != nil {
		f.seen.turnAway(ctx, f.logOf(fw, address), consumer, fw.Target.String(), err)
		done()
		return
	}
	relay.New(consumer, relay.TCP(backend), relay.Options{}).Start(func(res relay.Result) {
		defer done()
		logEnd(f.logOf(fw, address), res, "consumer", "backend", time.Since(began))
	})
}

// logOf is for lines about a consumer.
func (f *Forwarder) logOf(fw link.Forward, consumer net.Addr) *zap.Logger {
	return f.log.WithLazy(zap.Stringer("client_addr", consumer), zap.String("link", fw.Link), zap.Stringer("backend_addr", fw.Target))
}

// logEnd writes the one line of a connection that was served.
func logEnd(log *zap.Logger, r relay.Result, a, b string, d time.Duration) {
	log.Debug("stream ended", zap.Int64("bytes_in", r.BytesAB), zap.Int64("bytes_out", r.BytesBA),
		zap.Duration("duration", d), zap.String("close_reason", r.Reason.Name(a, b)), zap.Error(r.Err))
}

// Shutdown stops accepting consumers and waits until those accepted are done or
// ctx is. Then it closes what is left: with ctx's error if consumers were cut.
func (f *Forwarder) Shutdown(ctx context.Context) error {
	f.init()
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
	f.ports.cut()
	f.ports.serving.Wait()
	return f.ports.wait(context.Background())
}
