package main

import (
	"cmp"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"ambassador/internal/admin"
)

// printStatus writes a status for a person: the verdict first.
func printStatus(w io.Writer, s *admin.Status, p paint, several bool) error {
	if several {
		fmt.Fprintln(w, p.with(bold, s.Role+" "+shortName(s.Identity)))
	}
	colour := red
	if s.Ready {
		colour = green
	}
	fmt.Fprintln(w, p.with(colour, s.Verdict))
	fmt.Fprintln(w, p.dim(aboutOf(s)))
	if len(s.Peers) > 0 {
		fmt.Fprintln(w)
		if err := peerTable(s.Peers, s.Time).write(w, p); err != nil {
			return err
		}
	}
	if len(s.Links) > 0 {
		fmt.Fprintln(w)
		if err := linkTable(s.Links, s.Time).write(w, p); err != nil {
			return err
		}
	}
	if len(s.Warnings) > 0 {
		fmt.Fprintln(w)
	}
	for _, warning := range s.Warnings {
		fmt.Fprintln(w, p.with(yellow, "warning: "+warning.Text))
		if warning.Fix != "" {
			fmt.Fprintln(w, "  "+warning.Fix)
		}
	}
	return nil
}

// aboutOf is who it is, in one line.
func aboutOf(s *admin.Status) string {
	parts := []string{strings.TrimSpace(s.Role + " " + shortName(s.Identity))}
	if s.Provider != "" {
		parts = append(parts, "provider "+s.Provider)
	} else if s.Role == admin.RoleProvider && len(s.Listen) > 0 {
		parts = append(parts, "on "+strings.Join(s.Listen, ", "))
	}
	if s.Role != admin.RoleForwarder {
		parts = append(parts, plural(s.Sessions, "session"))
	}
	parts = append(parts, plural(s.Streams, "connection"), "up "+ageOf(s.Time.Sub(s.Started)), s.Build.Version)
	return strings.Join(parts, ", ")
}

// linkTable has a row for each port of each link.
func linkTable(links []admin.Link, now time.Time) *table {
	t := newTable("LINK", "PORT", "STATE", "SINCE", "CONNS", "IN", "OUT", "WHERE", "REASON").numbers(1, 3, 4, 5, 6)
	for i := range links {
		l := &links[i]
		for n := range l.Ports {
			row := portRow(&l.Ports[n], now)
			// What is counted is the link's.
			name, counts := "", []string{"", "", ""}
			if n == 0 {
				name, counts = l.Name, []string{strconv.Itoa(l.Streams), bytesOf(l.BytesIn), bytesOf(l.BytesOut)}
			}
			t.add(name, row.port, row.state, row.since, counts[0], counts[1], counts[2], row.where, row.reason)
		}
	}
	return t
}

type portCells struct{ port, state, since, where, reason string }

func portRow(p *admin.Port, now time.Time) portCells {
	c := portCells{state: p.State, reason: admin.Spoken(p.Reason), where: cmp.Or(p.Backend, strings.Join(p.Local, " "))}
	if p.Port != 0 {
		c.port = strconv.Itoa(int(p.Port))
	}
	if p.Backend != "" && len(p.Local) > 0 {
		c.where = strings.Join(p.Local, " ") + " > " + p.Backend
	}
	if p.Since != nil {
		c.since = ageOf(now.Sub(*p.Since))
	}
	return c
}

// peerTable has a row for each peer.
func peerTable(peers []admin.Peer, now time.Time) *table {
	t := newTable("PEER", "STATE", "SINCE", "RTT", "CONNS", "IN", "OUT", "ADDRESS", "LINKS").numbers(2, 3, 4, 5, 6)
	for i := range peers {
		p := &peers[i]
		state, since := "away", ""
		switch {
		case p.Connected:
			state = "connected"
		case p.Revoked:
			state = "revoked"
		}
		if p.Since != nil {
			since = ageOf(now.Sub(*p.Since))
		}
		t.add(shortName(p.Identity), state, since, millis(p.RTTSeconds), strconv.Itoa(p.Streams),
			bytesOf(p.BytesIn), bytesOf(p.BytesOut), strings.Join(p.Addresses, " "), grantOf(p.Links))
	}
	return t
}

func grantOf(links []string) string {
	all := strings.Join(links, " ")
	if all == "*" {
		return "all"
	}
	return all
}
