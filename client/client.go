package client

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"sync"
	"time"

	"ambassador/internal/link"
	"ambassador/internal/live"
	"ambassador/internal/relay"
	"ambassador/mux"

	"go.uber.org/zap"
)

// ErrClosed is returned by ListenAndServe after Shutdown or Close.
var ErrClosed = errors.New("client: closed")

// Defaults of Client.
const (
	defaultHold             = 3 * time.Second
	defaultHandshakeTimeout = 10 * time.Second
	defaultExposeHost       = "127.0.0.1"
)

// Client offers a provider's links on local ports. Set the fields before
// ListenAndServe and do not change them afterwards. Methods may be called by
// several goroutines at once.
type Client struct {
	// Provider is the provider's HOST:PORT. The name is resolved at every
	// connection.
	Provider string
	// TLSConfig presents the client's certificate and verifies the provider's.
	TLSConfig *tls.Config
	// Expose says which local ports stand for what. If empty, every port of
	// every link that the provider grants, under its own number.
	Expose []link.Expose
	// ExposeHost is the address that local ports bind where Expose names none.
	// If empty, 127.0.0.1.
	ExposeHost string
	// Hold is how long a consumer waits for a session and for its backend. If
	// zero, 3 s; negative, it does not wait.
	Hold time.Duration
	// Carrier tunes the sessions.
	Carrier mux.Options
	// Version is told to the provider.
	Version string
	// HandshakeTimeout bounds one attempt to get a session. If zero, 10 s.
	HandshakeTimeout time.Duration
	// Listen opens local ports. If nil, plain TCP listeners.
	Listen func(network, address string) (net.Listener, error)
	// Explain turns the failure of an attempt into a line for a person. If nil,
	// the error's text.
	Explain func(error) string
	// Table is told what goes on. If nil, nobody is.
	Table *live.Table
	// Logger gets the client's lines. If nil, none are written.
	Logger *zap.Logger

	start    sync.Once
	log      *zap.Logger
	ports    *ports
	keeper   *keeper
	seen     causes
	ctx      context.Context // ends with Close
	cancel   context.CancelFunc
	stopping chan struct{} // closed by the first of Shutdown and Close
	stopOnce sync.Once

	mu      sync.Mutex
	routes  []*route
	missing []*ExposeError // exposed by the name of a link that is not granted
	granted []string
	bound   chan struct{} // closed when all local ports accept
}

func (c *Client) init() {
	c.start.Do(func() {
		c.log = c.Logger
		if c.log == nil {
			c.log = zap.NewNop()
		}
		if c.Hold == 0 {
			c.Hold = defaultHold
		}
		if c.HandshakeTimeout == 0 {
			c.HandshakeTimeout = defaultHandshakeTimeout
		}
		if c.ExposeHost == "" {
			c.ExposeHost = defaultExposeHost
		}
		if c.Explain == nil {
			c.Explain = error.Error
		}
		c.ctx, c.cancel = context.WithCancel(context.Background())
		c.stopping = make(chan struct{})
		c.bound = make(chan struct{})
		c.ports = newPorts(c.Listen, c.log, "free it, or choose another with --expose LOCAL=REMOTE")
		c.keeper = newKeeper(c)
	})
}

// ListenAndServe opens the local ports, keeps a session with the provider and
// serves consumers until Shutdown or Close, and returns ErrClosed then. Ports
// whose numbers are known are open before the provider is reached. It fails
// with a *ListenError if a local port cannot be had, and with a *ExposeError if
// what is exposed is ambiguous, or wants a local port twice, when the provider is
// first reached. What it does not grant then is waited for.
func (c *Client) ListenAndServe() error {
	c.init()
	if !c.ports.begin() {
		return ErrClosed
	}
	defer c.ports.end()
	if err := c.bindKnown(); err != nil {
		return c.giveUp(err)
	}
	kept := make(chan error, 1)
	go func() { kept <- c.keeper.keep() }()
	select {
	case err := <-kept:
		return c.giveUp(err)
	case <-c.stopping:
		// Close ends the keeper; until then it serves those who drain.
		return errors.Join(ErrClosed, ignoreClosed(<-kept))
	}
}

// giveUp ends a client that cannot start.
func (c *Client) giveUp(err error) error {
	c.stop()
	c.cancel()
	c.ports.cut()
	return errors.Join(err, c.ports.wait(context.Background()))
}

func ignoreClosed(err error) error {
	if errors.Is(err, ErrClosed) {
		return nil
	}
	return err
}

// Bound is closed when all local ports accept connections: not before a link
// that is exposed by its name alone has been granted.
func (c *Client) Bound() <-chan struct{} {
	c.init()
	return c.bound
}

// Addrs are the addresses of the open local ports.
func (c *Client) Addrs() []net.Addr {
	c.init()
	c.ports.mu.Lock()
	defer c.ports.mu.Unlock()
	addrs := make([]net.Addr, len(c.ports.listeners))
	for i, l := range c.ports.listeners {
		addrs[i] = l.Addr()
	}
	return addrs
}

// Session waits for a live session with the provider.
func (c *Client) Session(ctx context.Context) (*mux.Session, error) {
	c.init()
	return c.keeper.wait(ctx)
}

// Shutdown stops accepting consumers and waits until those accepted are done and
// the provider has had their last bytes, or ctx is done. Then it closes what is
// left: with ctx's error if anything was cut.
func (c *Client) Shutdown(ctx context.Context) error {
	c.init()
	c.stop()
	err := c.ports.wait(ctx)
	if err == nil {
		err = c.keeper.finish(ctx)
	}
	return errors.Join(err, c.Close())
}

// Close resets every consumer, ends the session and waits for the client's
// goroutines. Safe to call more than once.
func (c *Client) Close() error {
	c.init()
	c.stop()
	c.cancel()
	c.ports.cut()
	c.ports.serving.Wait()
	return c.ports.wait(context.Background())
}

func (c *Client) stop() {
	c.stopOnce.Do(func() { close(c.stopping) })
	c.ports.stop()
}

// serveConsumer begins to carry one consumer's connection over a session. done is
// called when it has ended.
func (c *Client) serveConsumer(r *route, consumer *relay.TCPEnd, done func()) {
	began := time.Now()
	address := consumer.Conn().RemoteAddr()
	ctx, stop := whilePresent(c.ctx, consumer)
	st, err := c.open(ctx, r, address, began)
	stop()
	if err != nil {
		c.seen.turnAway(ctx, c.logOf(r, address), consumer, r.address, err)
		done()
		return
	}
	relay.New(consumer, st, relay.Options{}).Start(func(res relay.Result) {
		defer done()
		if refused := st.Refusal(); refused != nil {
			c.seen.warn(c.logOf(r, address), "consumer reset", r.address, refused)
		} else if c.log.Core().Enabled(zap.DebugLevel) { // most of what a short connection allocates would be this line's
			logEnd(c.logOf(r, address).WithLazy(zap.Uint32("stream", st.ID())), res, "consumer", "session", time.Since(began))
		}
	})
}

// logOf is for lines about a consumer. It is made for each line, so that an idle
// connection keeps none, and lazy, so that a line which is not written costs
// little.
func (c *Client) logOf(r *route, consumer net.Addr) *zap.Logger {
	return c.log.WithLazy(zap.Stringer("client_addr", consumer), zap.Stringer("port", r))
}

// open finds a session within the hold budget and opens a stream on it.
func (c *Client) open(ctx context.Context, r *route, consumer net.Addr, began time.Time) (*mux.Stream, error) {
	ctx, cancel := context.WithTimeout(ctx, max(c.Hold, 0))
	defer cancel()
	for {
		s, err := c.keeper.wait(ctx)
		if err != nil {
			return nil, err
		}
		c.keeper.suspect(s)
		dest, err := r.destination()
		if err != nil {
			return nil, err
		}
		st, err := s.Open(mux.Open{
			Link: dest.link, Port: dest.port,
			Hold:     budgetLeft(c.Hold, time.Since(began)),
			Consumer: consumer.String(),
		}, nil)
		if (errors.Is(err, mux.ErrSessionLost) || errors.Is(err, mux.ErrRetired)) && ctx.Err() == nil {
			c.keeper.drop(s) // nothing of the consumer was sent: another session will do
			continue
		}
		return st, err
	}
}

// leastBudget is what a backend gets at least when a consumer may wait at all.
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
