package client

import (
	"fmt"
	"slices"

	"ambassador/internal/link"
	"ambassador/mux"
)

// Planned is one local port as a [Client] would open it.
type Planned struct {
	Expose link.Expose // as given, or as it follows from what is granted
	Local  string      // the local address; empty if it depends on a link that is not granted
	Link   string
	Port   uint16
	Err    *ExposeError // why it leads nowhere; nil if it does not
}

// Plan says what a client that exposes exposes would open to a provider that
// grants offers, and what of it cannot be. Nothing exposed by name means all that
// is granted. host is as [Client.ExposeHost].
func Plan(exposes []link.Expose, offers []mux.Offer, host string) []Planned {
	c := &Client{ExposeHost: host}
	if host == "" {
		c.ExposeHost = defaultExposeHost
	}
	if len(exposes) == 0 {
		for _, o := range offers {
			exposes = append(exposes, link.Expose{Link: o.Name})
		}
	}
	var plan []Planned
	for _, e := range exposes {
		plan = append(plan, c.plan(e, offers)...)
	}
	for i := range plan {
		p := &plan[i]
		j := slices.IndexFunc(plan[:i], func(q Planned) bool { return q.Local == p.Local && p.Local != "" })
		if j < 0 || p.Err != nil || plan[j].Err != nil || plan[j].Link == p.Link && plan[j].Port == p.Port {
			continue
		}
		p.Err = takenBy(&route{expose: plan[j].Expose}, &route{expose: p.Expose, address: p.Local})
	}
	return plan
}

// plan is that of one word.
func (c *Client) plan(e link.Expose, offers []mux.Offer) []Planned {
	if local, known := knownLocal(e); known {
		dest, err := resolve(e, offers)
		return []Planned{{Expose: e, Local: c.localAddress(e.Host, local), Link: dest.link, Port: dest.port, Err: err}}
	}
	i := slices.IndexFunc(offers, func(o mux.Offer) bool { return o.Name == e.Link })
	if i < 0 {
		return []Planned{{Expose: e, Err: &ExposeError{Expose: e, Problem: "the provider grants no such link", Candidates: offered(offers)}}}
	}
	var all []Planned
	for _, port := range offers[i].Ports {
		all = append(all, Planned{
			Expose: link.Expose{Host: e.Host, Local: port, Link: e.Link, Port: port},
			Local:  c.localAddress(e.Host, port), Link: e.Link, Port: port,
		})
	}
	return all
}

// String is the link's port, as it is written after --expose.
func (p Planned) String() string { return fmt.Sprintf("%s:%d", p.Link, p.Port) }
