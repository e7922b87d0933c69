package certs

import (
	"net"
	"net/netip"
	"sync"

	"golang.org/x/time/rate"
)

// How often one asker may ask to be enrolled: a network of strangers, an
// invitation whose secret is shown, or an identity that renews. A secret of 160 bits cannot be guessed at any pace; this
// keeps requests from taking the CA's time. Hosts behind one address that are
// set up together need some at once, and a client that is turned away tries
// again after a second.
const (
	enrolPace  = rate.Limit(2) // a second
	enrolBurst = 20
	// maxAskers bounds what is remembered. Beyond it all strangers together have
	// the pace of one.
	maxAskers = 10_000
)

// pacer holds askers to a pace.
type pacer struct {
	mu     sync.Mutex
	askers map[string]*rate.Limiter
	others *rate.Limiter
}

func (p *pacer) allow(who string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.askers == nil {
		p.askers = make(map[string]*rate.Limiter)
		p.others = rate.NewLimiter(enrolPace, enrolBurst)
	}
	asker := p.askers[who]
	if asker == nil {
		if len(p.askers) >= maxAskers {
			p.forget()
		}
		if len(p.askers) >= maxAskers {
			return p.others.Allow()
		}
		asker = rate.NewLimiter(enrolPace, enrolBurst)
		p.askers[who] = asker
	}
	return asker.Allow()
}

// forget drops those that have their whole burst again: a new one is the same.
func (p *pacer) forget() {
	for who, asker := range p.askers {
		if asker.Tokens() >= enrolBurst {
			delete(p.askers, who)
		}
	}
}

// host is an address without its port, and of IPv6 the network: a host has
// 2^64 addresses there (RFC 4291 §2.5.1).
func host(addr string) string {
	h, _, err := net.SplitHostPort(addr)
	if err != nil {
		return addr
	}
	a, err := netip.ParseAddr(h)
	if err != nil {
		return h
	}
	a = a.Unmap()
	if a.Is4() {
		return a.String()
	}
	network, err := a.WithZone("").Prefix(64)
	if err != nil {
		return h
	}
	return network.String()
}
