package admin

import (
	"strconv"

	"ambassador/internal/live"
)

// Filter says which sessions and streams are asked for.
type Filter struct {
	Streams bool   // the streams too
	Only    bool   // the streams alone
	Link    string // those of this link; empty for all
	Peer    string // those of this peer, by its identity or name; empty for all
}

// Sessions are the live sessions, and the streams on them if they are asked for.
func (a *Ambassador) Sessions(f Filter) Sessions {
	sessions, streams := a.Table.Live(f.Streams || f.Only || f.Link != "")
	carrying := make(map[uint64]bool)
	d := Sessions{Schema: Schema, Sessions: make([]Session, 0, len(sessions))}
	f.Streams = f.Streams || f.Only
	if f.Streams {
		d.Streams = make([]Stream, 0, len(streams))
	}
	for i := range streams {
		s := &streams[i]
		if f.Link != "" && s.Link != f.Link || f.Peer != "" && !isPeer(s.Peer, f.Peer) {
			continue
		}
		carrying[s.Session] = true
		if f.Streams {
			d.Streams = append(d.Streams, streamOf(s))
		}
	}
	if f.Only {
		return d
	}
	for i := range sessions {
		s := &sessions[i]
		if f.Peer != "" && !isPeer(s.Peer, f.Peer) || f.Link != "" && !carrying[s.ID] {
			continue
		}
		d.Sessions = append(d.Sessions, sessionOf(s))
	}
	return d
}

func sessionOf(s *live.SessionState) Session {
	return Session{
		ID: idOf(s.ID), Peer: s.Peer, Remote: s.Remote, Local: s.Local, Version: s.Version, Since: s.Since, Draining: s.Draining,
		RTTSeconds: s.RTT.Seconds(), SilentSeconds: s.Silent.Seconds(), Streams: s.Streams, BytesIn: s.Bytes.In, BytesOut: s.Bytes.Out,
	}
}

func streamOf(s *live.StreamState) Stream {
	d := Stream{
		ID: idOf(s.ID), Stream: s.Stream, Peer: s.Peer, Link: s.Link, Port: s.Port, Consumer: s.Consumer, Backend: s.Backend,
		Local: s.Local, Since: s.Since, Phase: string(s.Phase), BytesIn: s.Bytes.In, BytesOut: s.Bytes.Out,
	}
	if s.Session != 0 {
		d.Session = idOf(s.Session)
	}
	return d
}

func idOf(n uint64) string { return strconv.FormatUint(n, 10) }

// The kinds of what has an ID.
const (
	KindSession = "session"
	KindStream  = "stream"
)

// Kill ends the session or stream of an ID, and says which of the two it was: the
// empty string for none. Its ends see a reset.
func (a *Ambassador) Kill(id string) (kind string) {
	n, err := strconv.ParseUint(id, 10, 64)
	switch {
	case err != nil:
		return ""
	case a.Table.KillStream(n):
		return KindStream
	case a.Table.KillSession(n):
		return KindSession
	}
	return ""
}
