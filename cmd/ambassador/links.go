package main

import (
	"io"
	"strconv"
	"strings"
	"time"

	"ambassador/internal/admin"

	"github.com/spf13/cobra"
)

func newLinks(env environment) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "links",
		Short: "List a running ambassador's links: state, connections, bytes, and why one is not up",
		Long: `Lists the links that the ambassador here offers or exposes, a line for each port.
Connections and bytes are the link's: bytes in went to its backend, bytes out
came from there.`,
		Args: exactArgs(0, "no arguments"),
	}
	s := addShowing(cmd, env)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return s.run(cmd, env, "/v1/links", fresh(), func(w io.Writer, document []byte) error {
			d, err := read[admin.Links](document)
			if err != nil {
				return err
			}
			return linkTable(d.Links, time.Now()).write(w, paintOf(env))
		})
	}
	return cmd
}

// linkTable has a row for each port of each link.
func linkTable(links []admin.Link, now time.Time) *table {
	t := newTable("LINK", "PORT", "STATE", "SINCE", "CONNS", "IN", "OUT", "REASON", "LOCAL", "BACKEND", "SOURCE").numbers(1, 3, 4, 5, 6)
	for i := range links {
		l := &links[i]
		for n := range l.Ports {
			// What is counted is the link's, and stands in its first line.
			name, conns, in, out := "", "", "", ""
			if n == 0 {
				name, conns, in, out = l.Name, strconv.Itoa(l.Streams), bytesOf(l.BytesIn), bytesOf(l.BytesOut)
			}
			p := &l.Ports[n]
			t.add(name, portNumber(p.Port), p.State, since(p.Since, now), conns, in, out,
				admin.Spoken(p.Reason), strings.Join(p.Local, " "), p.Backend, p.Source)
		}
	}
	return t
}

// portNumber is empty for a port that is not known yet.
func portNumber(n uint16) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(int(n))
}

func since(t *time.Time, now time.Time) string {
	if t == nil {
		return ""
	}
	return ageOf(now.Sub(*t))
}
