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
	// HalfClosedIdle is how long a connection of which one end has finished may be
	// silent the other way. If zero, 24 h; see internal/relay.
	HalfClosedIdle time.Duration
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
	// Table is told what happens. If nil, nothing is kept.
	Table *live.Table
	// LogSessions writes a line for every stream that ends at info level, not at
	// debug.
	LogSessions bool
	// Logger gets the client's lines. If nil, none are written.
	Logger *zap.Logger

	start    sync.Once
	began    time.Time
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
	offers  []mux.Offer    // as last granted
	bound   chan struct{}  // closed when all local ports accept
}

func (c *Client) init() {
	c.start.Do(func() {
		c.began = time.Now()
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
		relay.Reserve()
		c.ctx, c.cancel = context.WithCancel(context.Background())
		c.stopping = make(chan struct{})
		c.bound = make(chan struct{})
		c.ports = newPorts(c.Listen, c.log, "free it, or choose another with --expose LOCAL=REMOTE")
		c.Table.LogBackends(c.log)
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
	s, err := c.keeper.wait(ctx)
	if err != nil {
		return nil, err
	}
	return s.Session, nil
}

// Shutdown stops accepting consumers and waits until those accepted are done and
// the provider has had their last bytes, or ctx is done. Then it closes what is
// left: with ctx's error if anything was cut.
func (c *Client) Shutdown(ctx context.Context) error {
	c.init()
	c.Table.Event(live.Event{Kind: live.Drained, Text: "draining: no new consumers"})
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
	c.ports.cut() // before the session ends: the provider is told why
	c.cancel()
	c.ports.cut() // who came by a session meanwhile
	c.ports.serving.Wait()
	return c.ports.wait(context.Background())
}

func (c *Client) stop() {
	c.stopOnce.Do(func() { close(c.stopping) })
	c.ports.stop()
}
