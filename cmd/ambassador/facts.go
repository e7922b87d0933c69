package main

import (
	"errors"
	"net"
	"strconv"
	"time"

	"ambassador/certs"
	"ambassador/client"
	"ambassador/internal/admin"
	"ambassador/internal/link"
	"ambassador/internal/live"
	"ambassador/server"

	"go.uber.org/zap"
)

// What the three services hand over to be seen and steered by: facts that change
// seldom, and functions.

// ambassadorOf has what is the same for all.
func ambassadorOf(role string, table *live.Table, steer *steering, facts func() admin.Facts) *admin.Ambassador {
	return &admin.Ambassador{
		Role: role, Build: build(), Table: table, Started: time.Now(),
		Facts: func() admin.Facts {
			f := facts()
			f.Draining = steer.draining.Load()
			return f
		},
		Reload: func() error { return steer.reload(zap.String("reason", "an operator asked for it")) },
		Drain:  steer.drain,
	}
}

func (p *provider) ambassador(s *server.Server, links []link.Link, listeners []net.Listener, steer *steering) *admin.Ambassador {
	offered := offeredLinks(links)
	a := ambassadorOf(admin.RoleProvider, s.Table, steer, func() admin.Facts {
		f := admin.Facts{Links: offered, Peers: p.clients.peers(), Certificates: p.certificateFacts()}
		f.Identity, _ = p.credentials.Identity() // was checked when it was loaded
		for _, l := range listeners {
			f.Listen = append(f.Listen, l.Addr().String())
		}
		f.Reloaded, f.ReloadError = p.certificates.last.get()
		if p.grants != nil {
			at, why := p.grants.last.get()
			f.Reloaded, f.ReloadError = laterOf(f.Reloaded, at), join(f.ReloadError, why)
			f.Warnings = sealedWarning(p.keeper)
		}
		return f
	})
	a.Check = s.Check
	return a
}

func offeredLinks(links []link.Link) []admin.LinkFacts {
	all := make([]admin.LinkFacts, len(links))
	for i, l := range links {
		all[i].Name = l.Name
		for _, p := range l.Ports {
			all[i].Ports = append(all[i].Ports, admin.PortFacts{Number: p.Number, Backend: p.Target.String(), Source: string(l.Source)})
		}
	}
	return all
}

// certificateFacts are the provider's own certificate and what it rests on.
func (p *provider) certificateFacts() []admin.Certificate {
	leaf := leafFacts(p.credentials)
	all := append([]admin.Certificate{leaf}, authorityFacts(p.credentials)...)
	if p.keeper == nil {
		return all
	}
	due, next, err := p.keeper.standing.get()
	all[0].Renews = timeOrNil(due)
	if err != nil {
		// What fails is what is due first of the three.
		first := 0
		for i := range all {
			if all[i].Renews != nil && all[i].Renews.Before(*timeOr(all[first].Renews, all[i].Renews)) {
				first = i
			}
		}
		all[first].Error, all[first].Attempt = err.Error(), timeOrNil(next)
	}
	return all
}

func sealedWarning(k *caUpkeep) []admin.Warning {
	_, _, err := k.standing.get()
	if !errors.Is(err, certs.ErrSealed) {
		return nil
	}
	return []admin.Warning{{
		Text: "the CA's root key is sealed, and the issuer has to be renewed with it",
		Fix:  `run "ambassador certs renew --passphrase-file FILE" on this host, or give serve that flag`,
	}}
}

func (k *clientKept) ambassador(c *client.Client, steer *steering) *admin.Ambassador {
	a := ambassadorOf(admin.RoleClient, c.Table, steer, func() admin.Facts {
		f := admin.Facts{Provider: c.Provider, Links: exposedLinks(c.Routes()), Certificates: k.certificateFacts()}
		f.Tunnel, f.Warnings = tunnelFacts(c)
		f.Identity, _ = k.credentials.Identity() // was checked when it was loaded
		if peer := c.Peer(); peer != "" {
			f.Peers = []admin.PeerFacts{{Identity: peer, Links: c.Granted()}}
		}
		for _, addr := range c.Addrs() {
			f.Listen = append(f.Listen, addr.String())
		}
		f.Reloaded, f.ReloadError = k.certificates.last.get()
		return f
	})
	a.Check = c.Check
	return a
}

// How the warning begins that there is none.
const (
	noSession    = "no session with "
	noNewSession = "no new session with "
)

// adviseDoctor is the advice where there is no better one.
const adviseDoctor = `run "ambassador doctor" here`

// tunnelFacts are why a client has no session, in short, and with what to do.
func tunnelFacts(c *client.Client) (tunnel string, _ []admin.Warning) {
	why, cause := c.Trouble()
	if cause == nil {
		return why, nil
	}
	advice := networkAdvice(cause)
	if advice == "" {
		advice = adviseDoctor
	}
	what := noSession
	if sessions, _ := c.Table.Live(false); len(sessions) > 0 {
		what = noNewSession // there is one that drains
	}
	return inShort(why, cause), []admin.Warning{{Text: what + c.Provider + ": " + certs.Explain(cause), Fix: advice}}
}

// exposedLinks are a client's routes by the links that they lead to.
func exposedLinks(routes []client.Route) []admin.LinkFacts {
	var all []admin.LinkFacts
	at := make(map[string]int)
	for _, r := range routes {
		name := r.Name()
		n, known := at[name]
		if !known {
			n = len(all)
			at[name] = n
			all = append(all, admin.LinkFacts{Name: name})
		}
		addRoute(&all[n], r)
	}
	return all
}

func addRoute(l *admin.LinkFacts, r client.Route) {
	p := admin.PortFacts{Number: r.Port}
	if r.Local != "" {
		p.Local = []string{r.Local}
	}
	if wrong := (*client.ExposeError)(nil); errors.As(r.Problem, &wrong) {
		p.Reason = live.NotGranted.String()
	}
	for i := range l.Ports {
		if l.Ports[i].Number == p.Number {
			l.Ports[i].Local = append(l.Ports[i].Local, p.Local...)
			return
		}
	}
	l.Ports = append(l.Ports, p)
}

// certificateFacts are the client's own certificate and what it rests on.
func (k *clientKept) certificateFacts() []admin.Certificate {
	leaf := leafFacts(k.credentials)
	if k.renewal != nil {
		s := k.renewal.Status()
		leaf.Renews = timeOrNil(s.Due)
		if s.Err != nil {
			leaf.Error, leaf.Attempt = explainAttempt(s.Err), timeOrNil(s.Next)
		}
	}
	return append([]admin.Certificate{leaf}, authorityFacts(k.credentials)...)
}

func leafFacts(c *certs.Credentials) admin.Certificate {
	leaf := admin.Certificate{Name: "leaf", NotAfter: c.NotAfter()}
	leaf.Identity, _ = c.Identity() // was checked when it was loaded
	return leaf
}

func authorityFacts(c *certs.Credentials) []admin.Certificate {
	var all []admin.Certificate
	for _, a := range c.Authorities() {
		all = append(all, admin.Certificate{Name: a.Kind, NotAfter: a.NotAfter, Renews: timeOrNil(a.Renews)})
	}
	return all
}

func forwarderAmbassador(fw *client.Forwarder, steer *steering) *admin.Ambassador {
	var facts admin.Facts
	at := make(map[string]int)
	for _, to := range fw.Forwards {
		local := net.JoinHostPort(fw.ExposeHost, strconv.Itoa(int(to.Local)))
		facts.Listen = append(facts.Listen, local)
		n, known := at[to.Link]
		if !known {
			n = len(facts.Links)
			at[to.Link] = n
			facts.Links = append(facts.Links, admin.LinkFacts{Name: to.Link})
		}
		facts.Links[n].Ports = append(facts.Links[n].Ports, admin.PortFacts{Number: to.Local, Backend: to.Target.String(), Local: []string{local}})
	}
	a := ambassadorOf(admin.RoleForwarder, fw.Table, steer, func() admin.Facts { return facts })
	a.Check = fw.Check
	return a
}

func timeOrNil(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

func timeOr(t, other *time.Time) *time.Time {
	if t == nil {
		return other
	}
	return t
}

func laterOf(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func join(a, b string) string {
	if a == "" || b == "" {
		return a + b
	}
	return a + "; " + b
}
