package admin

import (
	"context"

	"ambassador/internal/live"
)

// scrape is one look with what metrics make of it.
type scrape struct {
	*look
	links  []Link
	peers  []Peer
	ready  bool
	warned int
	// accounts are those of the table and, from 0 on, those that are to be expected:
	// a series that begins with a number hides how it came to it.
	accounts map[ledger]*live.Account
	byLink   map[string]*live.Account // the same, of all peers together
}

type ledger struct{ link, peer string }

func (a *Ambassador) scrape(ctx context.Context) *scrape {
	l := a.look(ctx, fresh, false)
	s := &scrape{look: l, links: l.links(), peers: l.peers(), warned: len(l.warnings())}
	_, s.ready = l.verdict(s.links, 0)
	s.accounts, s.byLink = make(map[ledger]*live.Account), make(map[string]*live.Account)
	for i := range s.links {
		account(s.byLink, s.links[i].Name)
	}
	if a.Role == RoleProvider {
		s.expect()
	}
	for i := range l.Accounts {
		got := &l.Accounts[i]
		link := s.linkLabel(got.Link)
		addTo(account(s.accounts, ledger{link, s.peerLabel(got.Peer)}), got)
		addTo(account(s.byLink, link), got)
	}
	return s
}

// expect has accounts for the links that clients which are there may use.
func (s *scrape) expect() {
	for i := range s.peers {
		p := &s.peers[i]
		if !p.Connected {
			continue
		}
		for _, granted := range p.Links {
			for j := range s.links {
				if name := s.links[j].Name; granted == name || granted == "*" {
					account(s.accounts, ledger{name, p.Identity})
				}
			}
		}
	}
}

// linkLabel is the link's name, but for names that a provider's clients made up.
func (s *scrape) linkLabel(name string) string {
	if _, offered := s.byLink[name]; offered || s.a.Role != RoleProvider {
		return name
	}
	return ""
}

// peerLabel is the peer's identity. What waits for a session is counted for no peer
// yet, and for the provider later: a client has but one, so that it can be counted
// there at once, and no counter goes back.
func (s *scrape) peerLabel(identity string) string {
	if identity == "" && s.a.Role == RoleClient {
		return s.provider()
	}
	return identity
}

// provider is the one that a client knows of; empty if it has had no session yet.
func (s *scrape) provider() string {
	for i := range s.peers {
		return s.peers[i].Identity
	}
	for i := range s.Accounts {
		if peer := s.Accounts[i].Peer; peer != "" {
			return peer
		}
	}
	return ""
}

func account[K comparable](all map[K]*live.Account, k K) *live.Account {
	a := all[k]
	if a == nil {
		a = new(live.Account)
		all[k] = a
	}
	return a
}

func addTo(sum, a *live.Account) {
	sum.Streams += a.Streams
	sum.Opened += a.Opened
	sum.Bytes = sum.Bytes.Add(a.Bytes)
	for why, n := range a.Ended {
		sum.Ended[why] += n
	}
	sum.DialSeconds = sum.DialSeconds.Add(a.DialSeconds)
}

// tunnels is true where there are sessions at all.
func (s *scrape) tunnels() bool { return s.a.Role != RoleForwarder }

// putEnd puts the end of the certificate of that name, if there is one: the last
// of several, since a root that ends beside a newer one ends nothing.
func (s *scrape) putEnd(put func(float64, ...string), name string) {
	last := 0.0
	for _, c := range s.facts.Certificates {
		if c.Name == name {
			last = max(last, seconds(c.NotAfter))
		}
	}
	if last > 0 {
		put(last)
	}
}

func (s *scrape) renewalFailed() bool {
	for _, c := range s.facts.Certificates {
		if c.Error != "" {
			return true
		}
	}
	return false
}

// refusedHandshakes are from 0 on, for all the reasons there are.
func (s *scrape) refusedHandshakes() map[string]uint64 {
	all := make(map[string]uint64)
	if s.a.Role != RoleProvider {
		return all
	}
	for _, why := range live.HandshakeWords {
		all[why] = s.Handshakes[why]
	}
	return all
}

func portsUp(l *Link) int {
	up := 0
	for _, p := range l.Ports {
		if p.State == StateUp {
			up++
		}
	}
	return up
}
