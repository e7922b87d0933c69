package admin

import (
	"slices"
	"strings"

	"ambassador/internal/live"
)

// peers are those that are known and those that are there, sorted by identity.
func (l *look) peers() []Peer {
	byPeer := make(map[string]*Counts)
	for i := range l.Accounts {
		if l.Accounts[i].Peer != "" {
			addAccount(counted(byPeer, l.Accounts[i].Peer), &l.Accounts[i])
		}
	}
	at := make(map[string]int, len(l.facts.Peers))
	peers := make([]Peer, 0, len(l.facts.Peers))
	for _, f := range l.facts.Peers {
		at[f.Identity] = len(peers)
		peers = append(peers, Peer{Identity: f.Identity, Revoked: f.Revoked, Links: f.Links, NotAfter: moment(f.NotAfter)})
	}
	for i := range l.Sessions {
		s := &l.Sessions[i]
		n, known := at[s.Peer]
		if !known {
			n = len(peers)
			at[s.Peer] = n
			peers = append(peers, Peer{Identity: s.Peer})
		}
		addSession(&peers[n], s)
	}
	for i := range peers {
		peers[i].Counts = *counted(byPeer, peers[i].Identity)
	}
	slices.SortFunc(peers, func(a, b Peer) int { return strings.Compare(a.Identity, b.Identity) })
	return peers
}

// addSession adds a session to its peer. They come oldest first: the last one's
// round trip and program are those of now.
func addSession(p *Peer, s *live.SessionState) {
	p.Connected = true
	p.Sessions++
	if p.Since == nil {
		p.Since = moment(s.Since)
	}
	if !slices.Contains(p.Addresses, s.Remote) {
		p.Addresses = append(p.Addresses, s.Remote)
	}
	if s.RTT > 0 {
		p.RTTSeconds = s.RTT.Seconds()
	}
	if s.Version != "" {
		p.Version = s.Version
	}
}

// isPeer says whether a word means an identity: all of it, or the name at its end.
func isPeer(identity, word string) bool {
	return identity == word || strings.HasSuffix(identity, "/"+word)
}
