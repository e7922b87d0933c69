package link

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"syscall"
	"time"

	"github.com/cenkalti/backoff/v5"
)

// ErrSelf: the target is the ambassador that dials, and would make a circle.
var ErrSelf = errors.New("the target is this ambassador itself")

// Defaults of Dialer, and the pauses between its attempts.
const (
	defaultDialTimeout = 10 * time.Second
	firstPause         = 50 * time.Millisecond
	longestPause       = 500 * time.Millisecond
)

// Dialer connects to targets. Names are resolved at every dial: a service that
// moved is found at its new address (moby#2801). The zero value is ready to use;
// Dial may be called by several goroutines at once.
type Dialer struct {
	// Timeout bounds a dial that has no hold budget. If zero, 10 s.
	Timeout time.Duration
	// Resolver looks names up. If nil, net.DefaultResolver.
	Resolver *net.Resolver
	// Self says whether an address is one that the ambassador itself listens
	// on. If nil, none is.
	Self func(netip.AddrPort) bool
}

// Dial connects to t. While the hold budget lasts it tries again after every
// failure, as it takes for a service that is being restarted; with none it
// tries once. The error is that of the last attempt that came to an end.
func (d *Dialer) Dial(ctx context.Context, t Target, hold time.Duration) (*net.TCPConn, error) {
	return d.DialEach(ctx, t, hold, func(error, time.Duration) {})
}

// DialEach is Dial, which tells how each attempt went when it has come to an end:
// with its error, or nil, and its duration. With a long hold budget the first one
// says much earlier than Dial that a service is down.
func (d *Dialer) DialEach(ctx context.Context, t Target, hold time.Duration, each func(error, time.Duration)) (*net.TCPConn, error) {
	budget := hold
	if budget <= 0 {
		budget = d.Timeout
		if budget == 0 {
			budget = defaultDialTimeout
		}
	}
	asked := ctx
	ctx, cancel := context.WithTimeout(ctx, budget)
	defer cancel()
	pauses := backoff.ExponentialBackOff{InitialInterval: firstPause, MaxInterval: longestPause, Multiplier: 2, RandomizationFactor: 0.5}
	pauses.Reset()
	var before error
	for {
		began := time.Now()
		c, err := d.attempt(ctx, t, d.refuseSelf)
		if err == nil {
			each(nil, time.Since(began))
			return c, nil
		}
		if before != nil && over(ctx) {
			return nil, before // the budget cut this attempt off: it says nothing of the backend
		}
		if asked.Err() == nil { // else nobody waits for it any more
			each(err, time.Since(began))
		}
		before = err
		if hold <= 0 || errors.Is(err, ErrSelf) {
			return nil, err
		}
		pause := time.NewTimer(pauses.NextBackOff())
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			return nil, err
		}
	}
}

// over says whether ctx is done, or will be in a moment: the sockets' timers may be
// a little before its own.
func over(ctx context.Context) bool {
	deadline, bounded := ctx.Deadline()
	return ctx.Err() != nil || bounded && !time.Now().Before(deadline)
}

// Check dials t once, to see whether it would answer, and resets the connection.
// On Linux that is before the last part of the handshake is sent, so that the
// service is not woken: it does not even accept.
func (d *Dialer) Check(ctx context.Context, t Target) error {
	c, err := d.attempt(ctx, t, func(network, address string, raw syscall.RawConn) error {
		if err := d.refuseSelf(network, address, raw); err != nil {
			return err
		}
		return holdBackACK(raw)
	})
	if err != nil {
		return err
	}
	return errors.Join(c.SetLinger(0), c.Close())
}

func (d *Dialer) attempt(ctx context.Context, t Target, control func(network, address string, raw syscall.RawConn) error) (*net.TCPConn, error) {
	nd := net.Dialer{Resolver: d.Resolver, Control: control, KeepAlive: -1} // internal/relay sets its own
	nd.SetMultipathTCP(false)                                               // splice(2) and socket options want plain TCP
	c, err := nd.DialContext(ctx, "tcp", net.JoinHostPort(d.host(ctx, t), strconv.Itoa(int(t.Port))))
	if err != nil {
		return nil, err
	}
	tc, ok := c.(*net.TCPConn)
	if !ok {
		return nil, errors.Join(fmt.Errorf("dialling %v gave a %T", t, c), c.Close())
	}
	return tc, nil
}

// host is the name to dial: the alias of a legacy link as long as it resolves,
// because Docker keeps the container's hosts file up to date and not its
// environment.
func (d *Dialer) host(ctx context.Context, t Target) string {
	if t.Alias == "" || t.Alias == t.Host {
		return t.Host
	}
	r := d.Resolver
	if r == nil {
		r = net.DefaultResolver
	}
	if _, err := r.LookupHost(ctx, t.Alias); err != nil {
		return t.Host
	}
	return t.Alias
}

// refuseSelf is called with every address that is about to be dialled.
func (d *Dialer) refuseSelf(_, address string, _ syscall.RawConn) error {
	if d.Self == nil {
		return nil
	}
	if a, err := netip.ParseAddrPort(address); err == nil && d.Self(a) {
		return fmt.Errorf("%w (%v)", ErrSelf, a)
	}
	return nil
}

// OwnListeners makes a function for Dialer.Self from the listeners' addresses.
func OwnListeners(listeners ...net.Addr) func(netip.AddrPort) bool {
	var bound []netip.AddrPort
	for _, l := range listeners {
		if a, err := netip.ParseAddrPort(l.String()); err == nil {
			bound = append(bound, a)
		}
	}
	return func(a netip.AddrPort) bool {
		for _, b := range bound {
			if b.Port() == a.Port() {
				return isSelf(a, bound, localAddresses())
			}
		}
		return false
	}
}

// localAddresses are the machine's own. Without them, which takes a broken
// system, a circle shows by its refused connections.
func localAddresses() []netip.Addr {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return nil
	}
	var local []netip.Addr
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			local = append(local, p.Addr())
		}
	}
	return local
}
