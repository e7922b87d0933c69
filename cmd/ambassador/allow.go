package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"ambassador/certs"
	"ambassador/server"
)

// allowRule grants links to names that match a pattern.
type allowRule struct {
	pattern string
	links   []string
}

func (r allowRule) matches(name string) bool {
	ok, _ := path.Match(r.pattern, name) // the pattern was checked
	return ok
}

type allowRules []allowRule

var errNoAllow = errors.New("with --ca nobody is granted anything until --allow says so: give --allow 'PATTERN=LINK', such as --allow 'web-*=redis'")

// parseAllow reads PATTERN=LINK,LINK. The last = divides, since a URI may hold
// one.
func parseAllow(words []string) (allowRules, error) {
	if len(words) == 0 {
		return nil, errNoAllow
	}
	var rules allowRules
	for _, w := range words {
		i := strings.LastIndexByte(w, '=')
		if i <= 0 || i == len(w)-1 {
			return nil, fmt.Errorf("--allow %q: expected PATTERN=LINK,LINK, such as 'web-*=redis,postgres'", w)
		}
		r := allowRule{pattern: w[:i], links: strings.Split(w[i+1:], ",")}
		if _, err := path.Match(r.pattern, ""); err != nil {
			return nil, fmt.Errorf("--allow %q: %q is no pattern: * stands for any characters but /, ? for one", w, r.pattern)
		}
		rules = append(rules, r)
	}
	return rules, nil
}

// authorize gives a peer the links of every rule that one of its names matches.
func (rules allowRules) authorize(cs tls.ConnectionState) (server.Peer, error) {
	id, err := certs.PeerIdentity(cs)
	if err != nil {
		return server.Peer{}, err
	}
	peer := server.Peer{Identity: id}
	for _, r := range rules {
		if slices.ContainsFunc(certs.PeerNames(cs), r.matches) {
			peer.Links = append(peer.Links, r.links...)
		}
	}
	if len(peer.Links) == 0 {
		return server.Peer{}, fmt.Errorf("%s matches no --allow", id)
	}
	return peer, nil
}
