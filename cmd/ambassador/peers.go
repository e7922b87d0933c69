package main

import (
	"io"
	"strconv"
	"strings"
	"time"

	"ambassador/certs"
	"ambassador/internal/admin"

	"github.com/spf13/cobra"
)

func newPeers(env environment) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "peers",
		Short: "List a running ambassador's peers: who is connected, and what it may use",
		Long: `Lists the other ambassadors: those that a provider has let in, whether they are
connected or not, and of a client its provider.`,
		Args: exactArgs(0, "no arguments"),
	}
	s := addShowing(cmd, env)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return s.run(cmd, env, "/v1/peers", nil, func(w io.Writer, document []byte) error {
			d, err := read[admin.Peers](document)
			if err != nil {
				return err
			}
			return peerTable(d.Peers, time.Now()).write(w, paintOf(env))
		})
	}
	return cmd
}

// peerTable has a row for each peer.
func peerTable(peers []admin.Peer, now time.Time) *table {
	t := newTable("PEER", "STATE", "SINCE", "CONNS", "IN", "OUT", "RTT", "LINKS", "ADDRESS", "EXPIRES").numbers(2, 3, 4, 5, 6)
	for i := range peers {
		p := &peers[i]
		expires := ""
		if p.NotAfter != nil {
			expires = p.NotAfter.Format(time.DateOnly)
		}
		t.add(shortName(p.Identity), peerState(p), since(p.Since, now), strconv.Itoa(p.Streams),
			bytesOf(p.BytesIn), bytesOf(p.BytesOut), millis(p.RTTSeconds), grantOf(p.Links), strings.Join(p.Addresses, " "), expires)
	}
	return t
}

func peerState(p *admin.Peer) string {
	switch {
	case p.Connected:
		return "connected"
	case p.Revoked:
		return "revoked"
	}
	return "away"
}

func grantOf(links []string) string {
	if len(links) == 1 && links[0] == certs.EveryLink {
		return "all"
	}
	return strings.Join(links, " ")
}
