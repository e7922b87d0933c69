package client

import (
	"cmp"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"

	"ambassador/internal/link"
	"ambassador/internal/relay"
	"ambassador/mux"

	"go.uber.org/zap"
)

// route is one local port and what it stands for.
type route struct {
	expose  link.Expose
	address string // of the local port
	dest    atomic.Pointer[resolution]
}

// destination is what a stream asks the provider for.
type destination struct {
	link string
	port uint16
}

func (d destination) String() string { return d.link + ":" + strconv.Itoa(int(d.port)) }

// resolution is what the provider's catalogue makes of a route.
type resolution struct {
	dest destination
	err  error
}

func (r *route) String() string { return r.address }

// destination fails with a *ExposeError when the provider does not grant it.
func (r *route) destination() (destination, error) {
	res := r.dest.Load()
	if res == nil {
		return destination{}, &ExposeError{Expose: r.expose, Problem: "the provider has not said yet what it grants"}
	}
	return res.dest, res.err
}

// aim is what the route stands for, as far as that is known.
func (r *route) aim() (link string, port uint16) {
	if d, err := r.destination(); err == nil {
		return d.link, d.port
	}
	return r.expose.Link, r.expose.Port
}

// ExposeError is something exposed that does not fit what the provider grants.
type ExposeError struct {
	Expose  link.Expose
	Problem string
	// Ambiguous: more than one link offers the port. Candidates are what to
	// write instead.
	Ambiguous  bool
	Candidates []string
}

func (e *ExposeError) Error() string {
	msg := fmt.Sprintf("--expose %q: %s", e.Expose.String(), e.Problem)
	if len(e.Candidates) > 0 {
		msg += ": write one of " + strings.Join(e.Candidates, ", ")
	}
	return msg
}

// bindKnown opens the local ports whose numbers do not depend on what the
// provider grants.
func (c *Client) bindKnown() error {
	var known []*route
	for _, e := range c.Expose {
		if local, ok := knownLocal(e); ok {
			known = append(known, &route{expose: e, address: c.localAddress(e.Host, local)})
		}
	}
	if err := c.addRoutes(known); err != nil {
		return err
	}
	if len(c.Expose) > 0 && len(known) == len(c.Expose) {
		close(c.bound)
	}
	return nil
}

// knownLocal is the local port of an exposure, if it names one.
func knownLocal(e link.Expose) (uint16, bool) {
	if e.Local != 0 {
		return e.Local, true
	}
	return e.Port, e.Port != 0
}

func (c *Client) localAddress(host string, port uint16) string {
	return net.JoinHostPort(cmp.Or(host, c.ExposeHost), strconv.Itoa(int(port)))
}

// addRoutes opens the local ports of routes that are new, all or none.
func (c *Client) addRoutes(routes []*route) error {
	taken := make(map[string]*route)
	for _, r := range c.routes {
		taken[r.address] = r
	}
	var added []*route
	for _, r := range routes {
		other, ok := taken[r.address]
		if ok && other.expose != r.expose {
			return takenBy(other, r)
		}
		if !ok {
			taken[r.address] = r
			added = append(added, r)
		}
	}
	if err := c.bind(added); err != nil {
		return err
	}
	c.routes = append(c.routes, added...)
	return nil
}

func takenBy(other, r *route) *ExposeError {
	return &ExposeError{Expose: r.expose, Problem: fmt.Sprintf(
		"local port %s is taken by --expose %q: give one of them another with LOCAL=REMOTE", r.address, other.expose.String())}
}

// fitting are the routes whose local ports are free. Where nothing is exposed by
// name the others are nobody's mistake but worth a warning: the first link keeps
// the port.
func (c *Client) fitting(routes []*route) []*route {
	taken := make(map[string]*route)
	for _, r := range c.routes {
		taken[r.address] = r
	}
	var fit []*route
	for _, r := range routes {
		if other := taken[r.address]; other != nil && other.expose != r.expose {
			c.seen.warn(c.log, "not all that the provider grants can be exposed", r.expose.String(), takenBy(other, r))
			continue
		}
		taken[r.address] = r
		fit = append(fit, r)
	}
	return fit
}

// bind opens the routes' local ports, all or none, and accepts on them.
func (c *Client) bind(routes []*route) error {
	addresses := make([]string, len(routes))
	for i, r := range routes {
		addresses[i] = r.address
	}
	listeners, err := c.ports.open(addresses)
	if err != nil {
		return err
	}
	for i, l := range listeners {
		r := routes[i]
		c.log.Info("local port open", zap.Stringer("address", l.Addr()), zap.String("expose", r.expose.String()))
		c.ports.accept(l, func(consumer *relay.TCPEnd, done func()) { c.serveConsumer(r, consumer, done) })
	}
	return nil
}

// apply fits the routes to what the provider grants, and opens the ports that
// only the catalogue knows. What is not granted is a warning: it may be granted
// later, and until then consumers of its port, if that is open, are reset. The
// first time it fails on what cannot fit; later that is a warning too.
func (c *Client) apply(offers []mux.Offer, first bool) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.forget(offers)
	if err := c.bindOffered(offers); err != nil {
		if first {
			return err
		}
		c.seen.warn(c.log, "not all that the provider grants can be exposed", "", err)
	}
	for _, r := range c.routes {
		dest, err := resolve(r.expose, offers)
		if err != nil {
			if first && err.Ambiguous {
				return err
			}
			c.seen.warn(c.log, "not available from this provider", r.address, err)
			r.dest.Store(&resolution{err: err})
			continue
		}
		r.dest.Store(&resolution{dest: dest})
	}
	return nil
}

// forget drops what is known of ports that are not granted any more. mu is held.
func (c *Client) forget(offers []mux.Offer) {
	for _, o := range c.offers {
		for _, p := range o.Ports {
			if !grants(offers, o.Name, p) {
				c.Table.Forget(o.Name, p)
			}
		}
	}
	c.offers = offers
}

func grants(offers []mux.Offer, link string, port uint16) bool {
	return slices.ContainsFunc(offers, func(o mux.Offer) bool { return o.Name == link && slices.Contains(o.Ports, port) })
}

// bindOffered opens the local ports of exposures that name only a link, or of
// all links when nothing is exposed by name.
func (c *Client) bindOffered(offers []mux.Offer) error {
	exposes := c.Expose
	if len(exposes) == 0 {
		for _, o := range offers {
			exposes = append(exposes, link.Expose{Link: o.Name})
		}
	}
	var wanted []*route
	c.missing = nil
	for _, e := range exposes {
		if _, known := knownLocal(e); known {
			continue
		}
		i := slices.IndexFunc(offers, func(o mux.Offer) bool { return o.Name == e.Link })
		if i < 0 {
			// It may be granted later, as either side may start first.
			err := &ExposeError{Expose: e, Problem: "the provider grants no such link", Candidates: offered(offers)}
			c.missing = append(c.missing, err)
			c.seen.warn(c.log, "not available from this provider", e.String(), err)
			continue
		}
		for _, port := range offers[i].Ports {
			r := &route{
				expose:  link.Expose{Host: e.Host, Local: port, Link: e.Link, Port: port},
				address: c.localAddress(e.Host, port),
			}
			dest := destination{e.Link, port}
			r.dest.Store(&resolution{dest: dest}) // consumers may come as soon as the port is open
			if !c.leadsTo(r.address, dest, offers) {
				wanted = append(wanted, r)
			}
		}
	}
	if len(exposes) == 0 && c.seen.fresh("no link") {
		c.log.Warn("the provider grants this client no link: nothing is exposed")
	}
	if len(c.Expose) == 0 {
		wanted = c.fitting(wanted)
	}
	if err := c.addRoutes(wanted); err != nil {
		return err
	}
	select {
	case <-c.bound:
	default:
		if len(c.missing) == 0 {
			close(c.bound)
		}
	}
	return nil
}

// leadsTo says whether a local port is open already and stands for the same, as
// with --expose 6379 --expose redis.
func (c *Client) leadsTo(address string, dest destination, offers []mux.Offer) bool {
	i := slices.IndexFunc(c.routes, func(r *route) bool { return r.address == address })
	if i < 0 {
		return false
	}
	other, err := resolve(c.routes[i].expose, offers)
	return err == nil && other == dest
}

// resolve finds what an exposure stands for among the links granted.
func resolve(e link.Expose, offers []mux.Offer) (destination, *ExposeError) {
	var found []destination
	for _, o := range offers {
		for _, p := range o.Ports {
			if (e.Link == "" || e.Link == o.Name) && (e.Port == 0 || e.Port == p) {
				found = append(found, destination{o.Name, p})
			}
		}
	}
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(found) == 0:
		return destination{}, &ExposeError{Expose: e, Problem: "the provider grants no such link or port", Candidates: offered(offers)}
	}
	problem := fmt.Sprintf("%d links offer port %d", len(found), e.Port)
	if e.Link != "" {
		problem = fmt.Sprintf("link %s has %d ports", e.Link, len(found))
	}
	err := &ExposeError{Expose: e, Problem: problem, Ambiguous: true}
	for _, d := range found {
		err.Candidates = append(err.Candidates, d.String())
	}
	return destination{}, err
}

// offered lists what is granted, as it is written after --expose.
func offered(offers []mux.Offer) []string {
	var all []string
	for _, o := range offers {
		for _, p := range o.Ports {
			all = append(all, destination{o.Name, p}.String())
		}
	}
	return all
}
