package admin

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"time"

	"ambassador/internal/live"
)

// A frame shows no more rows than a person can look at.
const (
	framePeers    = 200
	frameSessions = 50
	frameStreams  = 50
	frameEvents   = 40
	// framePoints is how many of the last samples a frame brings for the charts: a
	// page that has missed more asks for all.
	framePoints = 5
)

// frame is what the page shows at one moment. Status is the document that
// "ambassador status" prints, but for peers beyond framePeers.
type frame struct {
	Status   Status          `json:"status"`
	Rates    map[string]Rate `json:"rates"`    // by link
	Sessions []sessionRow    `json:"sessions"` // the busiest
	Streams  []streamRow     `json:"streams"`  // the busiest
	Peers    int             `json:"peers"`    // all of them
	Ended    []Ending        `json:"ended"`
	Events   []Event         `json:"events"` // newest first
	History  json.RawMessage `json:"history"`
}

// Rate is what flows, in bytes a second.
type Rate struct {
	In  float64 `json:"in"`
	Out float64 `json:"out"`
}

type sessionRow struct {
	Session
	Rate Rate `json:"rate"`
}

type streamRow struct {
	Stream
	Rate Rate `json:"rate"`
}

// compose makes the frame of a snapshot with streams.
func (d *Dashboard) compose(s *live.Snapshot) *frame {
	ctx, cancel := context.WithTimeout(d.ctx, checkPatience)
	defer cancel()
	f := &frame{
		Status: d.Ambassador.Status(ctx, knownAge), Rates: make(map[string]Rate),
		Ended: d.history.ended(), Events: []Event{}, History: d.history.document(framePoints),
	}
	f.Peers = len(f.Status.Peers)
	f.Status.Peers = firstPeers(f.Status.Peers)
	for i := range f.Status.Links {
		name := f.Status.Links[i].Name
		in, out := d.history.rate(name)
		f.Rates[name] = Rate{In: in, Out: out}
	}
	now := flowsOf(s)
	f.Sessions, f.Streams = busiestSessions(s, now, d.feed.before), busiestStreams(s, now, d.feed.before)
	d.feed.before = now
	events, _ := d.Ambassador.Table.Events(0)
	for _, e := range slices.Backward(events[max(0, len(events)-frameEvents):]) {
		f.Events = append(f.Events, eventOf(e))
	}
	if len(f.Events) > 0 {
		d.feed.told = f.Events[0].ID
	}
	return f
}

// firstPeers are those that a page has room for, connected ones first.
func firstPeers(all []Peer) []Peer {
	if len(all) <= framePeers {
		return all
	}
	slices.SortStableFunc(all, func(a, b Peer) int { return compareTrue(a.Connected, b.Connected) })
	return all[:framePeers]
}

// compareTrue sorts what is true first.
func compareTrue(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return -1
	}
	return 1
}

// flows are the bytes of sessions and streams at one moment, by ID.
type flows struct {
	at    time.Time
	bytes map[uint64]live.Bytes
}

func flowsOf(s *live.Snapshot) flows {
	f := flows{at: s.At, bytes: make(map[uint64]live.Bytes, len(s.Sessions)+len(s.Streams))}
	for i := range s.Sessions {
		f.bytes[s.Sessions[i].ID] = s.Sessions[i].Bytes
	}
	for i := range s.Streams {
		f.bytes[s.Streams[i].ID] = s.Streams[i].Bytes
	}
	return f
}

// rate is what has flowed since the moment before. Of what was not there then it
// is all that it has carried.
func (f flows) rate(before flows, id uint64) Rate {
	took := f.at.Sub(before.at).Seconds()
	if before.at.IsZero() || took <= 0 {
		return Rate{}
	}
	now, was := f.bytes[id], before.bytes[id]
	return Rate{In: float64(now.In-was.In) / took, Out: float64(now.Out-was.Out) / took}
}

func busiestSessions(s *live.Snapshot, now, before flows) []sessionRow {
	rows := []sessionRow{}
	for _, i := range busiest(len(s.Sessions), frameSessions, now, before, func(i int) uint64 { return s.Sessions[i].ID }) {
		rows = append(rows, sessionRow{sessionOf(&s.Sessions[i]), now.rate(before, s.Sessions[i].ID)})
	}
	return rows
}

func busiestStreams(s *live.Snapshot, now, before flows) []streamRow {
	rows := []streamRow{}
	for _, i := range busiest(len(s.Streams), frameStreams, now, before, func(i int) uint64 { return s.Streams[i].ID }) {
		rows = append(rows, streamRow{streamOf(&s.Streams[i]), now.rate(before, s.Streams[i].ID)})
	}
	return rows
}

// busiest are the rows with the highest rates, at most so many of n; where the
// rates are equal, those that have carried most.
func busiest(n, most int, now, before flows, id func(int) uint64) []int {
	type row struct {
		index int
		rate  float64
		bytes int64
	}
	rows := make([]row, n)
	for i := range n {
		r, b := now.rate(before, id(i)), now.bytes[id(i)]
		rows[i] = row{i, r.In + r.Out, b.In + b.Out}
	}
	slices.SortFunc(rows, func(a, b row) int {
		return cmp.Or(cmp.Compare(b.rate, a.rate), cmp.Compare(b.bytes, a.bytes), cmp.Compare(a.index, b.index))
	})
	first := make([]int, 0, most)
	for _, r := range rows[:min(n, most)] {
		first = append(first, r.index)
	}
	return first
}
