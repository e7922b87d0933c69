package main

import (
	"context"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"time"

	"ambassador/internal/admin"

	"github.com/spf13/cobra"
)

func newSessions(env environment) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "sessions",
		Short: "List a running ambassador's live sessions and connections, or end some",
		Long: `Lists the live sessions, and with --streams the connections that are forwarded,
with their bytes so far: in went to the backend, out came from there.

--kill ends the session or the connection of an ID in these lists. The ends of a
connection see a reset; a client makes a new session at once.`,
		Example: `  ambassador sessions
  ambassador sessions --streams --link redis --watch
  ambassador sessions --kill 12`,
		Args: exactArgs(0, "no arguments: an ID is given with --kill"),
	}
	s := addShowing(cmd, env)
	streams := cmd.Flags().Bool("streams", false, "list the forwarded connections")
	link := cmd.Flags().String("link", "", "only what is about this `LINK`")
	cmd.Flags().Lookup("link").Annotations = map[string][]string{argumentsAlone: {}}
	peer := cmd.Flags().String("peer", "", "only what is about this `PEER`, by its name or identity")
	kill := cmd.Flags().StringArray("kill", nil, "end the session or connection of this `ID`; may be repeated")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if len(*kill) > 0 {
			asJSON, err := wantsJSON(*s.output)
			if err != nil {
				return err
			}
			return killAll(cmd.Context(), s.find, *kill, asJSON, env.stdout)
		}
		query := url.Values{"streams": {strconv.FormatBool(*streams)}, "link": {*link}, "peer": {*peer}}
		if *streams && *s.output == "text" {
			query.Set("streams", "only") // half of what there is to read
		}
		return s.run(cmd, env, "/v1/sessions", query, func(w io.Writer, document []byte) error {
			d, err := read[admin.Sessions](document)
			if err != nil {
				return err
			}
			t := sessionTable(d.Sessions, time.Now())
			if *streams {
				t = streamTable(d.Streams, time.Now())
			}
			return t.write(w, paintOf(env))
		})
	}
	return cmd
}

// killAll ends what has these IDs, in their order. It stops at one that there is
// not.
func killAll(ctx context.Context, find *finder, ids []string, asJSON bool, w io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	r, err := find.one(ctx)
	if err != nil {
		return err
	}
	defer r.Close()
	for _, id := range ids {
		killed, err := r.Kill(ctx, id)
		if err != nil {
			return askFailed(r, err)
		}
		what := "connection"
		if killed.Kind == admin.KindSession {
			what = "session"
		}
		if err := said(w, asJSON, fmt.Sprintf("killed %s %s", what, killed.ID), killed); err != nil {
			return err
		}
	}
	return nil
}

func sessionTable(sessions []admin.Session, now time.Time) *table {
	t := newTable("ID", "PEER", "AGE", "CONNS", "IN", "OUT", "RTT", "SILENT", "ADDRESS", "VERSION", "STATE").numbers(0, 2, 3, 4, 5, 6, 7)
	for i := range sessions {
		s := &sessions[i]
		state := ""
		if s.Draining {
			state = "draining"
		}
		t.add(s.ID, shortName(s.Peer), ageOf(now.Sub(s.Since)), strconv.Itoa(s.Streams), bytesOf(s.BytesIn), bytesOf(s.BytesOut),
			millis(s.RTTSeconds), ageOf(time.Duration(s.SilentSeconds*float64(time.Second))), s.Remote, s.Version, state)
	}
	return t
}

func streamTable(streams []admin.Stream, now time.Time) *table {
	t := newTable("ID", "LINK", "PEER", "AGE", "IN", "OUT", "STATE", "CONSUMER", "BACKEND", "LOCAL", "SESSION").numbers(0, 3, 4, 5, 10)
	for i := range streams {
		s := &streams[i]
		t.add(s.ID, s.Link+":"+strconv.Itoa(int(s.Port)), shortName(s.Peer), ageOf(now.Sub(s.Since)),
			bytesOf(s.BytesIn), bytesOf(s.BytesOut), s.Phase, s.Consumer, s.Backend, s.Local, s.Session)
	}
	return t
}
