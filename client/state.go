package client

import (
	"cmp"
	"strconv"
)

// Trouble is why there is no session, as Explain has it, and the error itself if
// an attempt has failed. It is empty while there is a session.
func (c *Client) Trouble() (why string, cause error) {
	c.init()
	k := c.keeper
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.live != nil && k.live.Err() == nil {
		return "", nil
	}
	return cmp.Or(k.trouble, "still connecting"), k.cause
}

// Peer is the provider's identity: empty before the first session.
func (c *Client) Peer() string {
	c.init()
	c.keeper.mu.Lock()
	defer c.keeper.mu.Unlock()
	return c.keeper.peer
}

// Route is one local port and what it stands for.
type Route struct {
	Expose string // as it was given, or made of what the provider grants
	Local  string // the address that consumers connect to; empty while it is not open
	// Link and Port are what it leads to. While the provider has not said, they
	// are what the exposure says by itself: the empty string and 0 where it is
	// silent.
	Link string
	Port uint16
	// Problem is why it leads nowhere: a *ExposeError, or nil.
	Problem error
}

// Routes are the local ports in the order in which they were opened, and behind
// them what is exposed and waits for the provider to grant it.
func (c *Client) Routes() []Route {
	c.init()
	c.mu.Lock()
	defer c.mu.Unlock()
	routes := make([]Route, 0, len(c.routes)+len(c.missing))
	for _, r := range c.routes {
		route := Route{Expose: r.expose.String(), Local: r.address, Link: r.expose.Link, Port: r.expose.Port}
		if res := r.dest.Load(); res != nil && res.err == nil {
			route.Link, route.Port = res.dest.link, res.dest.port
		} else if res != nil {
			route.Problem = res.err
		}
		routes = append(routes, route)
	}
	for _, e := range c.missing {
		routes = append(routes, Route{Expose: e.Expose.String(), Link: e.Expose.Link, Problem: e})
	}
	return routes
}

// Granted are the names of the links that the provider grants, as it said last.
func (c *Client) Granted() []string {
	c.init()
	c.mu.Lock()
	defer c.mu.Unlock()
	names := make([]string, len(c.offers))
	for i, o := range c.offers {
		names[i] = o.Name
	}
	return names
}

// Name is what a route is called where its link is not known.
func (r Route) Name() string {
	if r.Link != "" {
		return r.Link
	}
	return "port " + strconv.Itoa(int(r.Port))
}
