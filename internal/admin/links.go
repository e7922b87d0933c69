package admin

import (
	"time"

	"ambassador/internal/live"
)

// links are the links as they are, in the order of the facts.
func (l *look) links() []Link {
	byLink := make(map[string]*Counts)
	for i := range l.Accounts {
		addAccount(counted(byLink, l.Accounts[i].Link), &l.Accounts[i])
	}
	backends := make(map[string]map[uint16]live.Health)
	for _, h := range l.Backends {
		if backends[h.Link] == nil {
			backends[h.Link] = make(map[uint16]live.Health)
		}
		backends[h.Link][h.Port] = h
	}
	links := make([]Link, 0, len(l.facts.Links))
	for _, f := range l.facts.Links {
		link := Link{Name: f.Name, Ports: make([]Port, 0, len(f.Ports)), Counts: *counted(byLink, f.Name)}
		for _, p := range f.Ports {
			link.Ports = append(link.Ports, l.port(p, backends[f.Name][p.Number]))
		}
		link.State, link.Reason = stateOf(link.Ports)
		links = append(links, link)
	}
	return links
}

// port is one port with what is known of it: that there is no way to it, else what
// its backend has shown.
func (l *look) port(f PortFacts, h live.Health) Port {
	p := Port{Port: f.Number, Backend: f.Backend, Source: f.Source, Local: f.Local, State: StateUnknown}
	switch {
	case l.facts.Tunnel != "":
		p.State, p.Reason = StateDown, live.NoSession.String()
		return p
	case f.Reason != "":
		p.State, p.Reason = StateDown, f.Reason
		return p
	case !h.Known:
		return p
	}
	p.Checked = moment(h.At)
	if h.At.Before(l.known) {
		return p
	}
	p.State, p.Since = StateUp, moment(h.Changed)
	p.DialSeconds = h.Took.Round(time.Microsecond).Seconds()
	if !h.OK {
		p.State, p.Reason = StateDown, h.Reason.String()
	}
	return p
}

// stateOf is a link's state and why it is not up. A link with backends that do not
// answer is degraded: it is there, and works as soon as they do. It is down when
// nothing can get to a backend at all.
func stateOf(ports []Port) (state, reason string) {
	up, unknown, blocked := 0, 0, 0
	for _, p := range ports {
		switch {
		case p.State == StateUp:
			up++
		case p.State == StateUnknown:
			unknown++
		default:
			if reason == "" {
				reason = p.Reason
			}
			if !ofBackend(p.Reason) {
				blocked++
			}
		}
	}
	switch {
	case len(ports) > 0 && up == len(ports):
		return StateUp, ""
	case len(ports) > 0 && blocked == len(ports):
		return StateDown, reason
	case up+unknown == len(ports):
		return StateUnknown, ""
	}
	return StateDegraded, reason
}

// ofBackend is true of reasons that lie with the backend alone.
func ofBackend(reason string) bool {
	for _, r := range []live.Reason{live.BackendRefused, live.BackendUnreachable, live.BackendTimeout, live.BackendUnknown, live.BackendFailed} {
		if reason == r.String() {
			return true
		}
	}
	return false
}
