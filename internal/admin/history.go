package admin

import (
	"cmp"
	"encoding/json"
	"maps"
	"math"
	"slices"
	"strconv"
	"sync"
	"time"

	"ambassador/internal/live"
)

const (
	// historySeconds is how far back the dashboard's charts go, one sample a
	// second.
	historySeconds = 15 * 60
	// historyLinks bounds the memory: a link's samples take 11 KB.
	historyLinks = 64
	// historyHole is the time without samples, such as a suspended machine's,
	// that a chart shows as a hole and not as a line across.
	historyHole = 3 * time.Second
)

// history keeps what the charts show: for each link how much flowed in each of
// the last seconds, and how long connecting took. Its methods may be called by
// several goroutines at once.
type history struct {
	mu      sync.Mutex
	taken   uint64                 // samples so far; the next one goes to taken%historySeconds
	at      [historySeconds]int64  // of each sample, in milliseconds since 1970
	last    time.Time              // of the last one
	links   map[string]*linkSeries // historyLinks at most
	names   []string               // of links, in the order they came
	endings endings
}

// linkSeries is one link's samples; NaN where there is none.
type linkSeries struct {
	in, out [historySeconds]float32 // bytes a second
	connect [historySeconds]float32 // seconds
	before  linkTotals
	known   bool // before is
}

// linkTotals are what has been counted for a link since the start, by all peers.
type linkTotals struct {
	bytes   live.Bytes
	dials   uint64
	seconds float64 // of all dials
}

// add takes a sample of each link that is configured or has been counted.
func (h *history) add(s *live.Snapshot, configured []LinkFacts) {
	totals := make(map[string]linkTotals)
	for _, l := range configured {
		totals[l.Name] = linkTotals{}
	}
	for i := range s.Accounts {
		a := &s.Accounts[i]
		t := totals[a.Link]
		t.bytes = t.bytes.Add(a.Bytes)
		t.dials += a.DialSeconds.Count
		t.seconds += a.DialSeconds.Sum
		totals[a.Link] = t
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.links == nil {
		h.links = make(map[string]*linkSeries)
	}
	took := s.At.Sub(h.last)
	switch {
	case took <= 0:
		return
	case !h.last.IsZero() && took > historyHole:
		h.push(s.At.Add(-took/2), func(*linkSeries, string, int) {})
	}
	for _, name := range slices.Sorted(maps.Keys(totals)) {
		h.know(name)
	}
	h.push(s.At, func(l *linkSeries, name string, i int) { l.sample(totals[name], took, answered(s, name, h.last), i) })
	h.last = s.At
	h.endings.add(s)
}

// know makes a link's series, if there is room for it.
func (h *history) know(name string) {
	if h.links[name] != nil || len(h.names) == historyLinks {
		return
	}
	l := new(linkSeries)
	for i := range historySeconds {
		l.clear(i)
	}
	h.links[name], h.names = l, append(h.names, name)
}

// push makes the next sample.
func (h *history) push(at time.Time, sample func(l *linkSeries, name string, i int)) {
	i := int(h.taken % historySeconds)
	h.at[i] = at.UnixMilli()
	for name, l := range h.links {
		l.clear(i)
		sample(l, name, i)
	}
	h.taken++
}

func (l *linkSeries) clear(i int) {
	none := float32(math.NaN())
	l.in[i], l.out[i], l.connect[i] = none, none, none
}

// sample notes what has come since the sample before. check is what a dial
// without a stream showed since then, 0 for none.
func (l *linkSeries) sample(now linkTotals, took, check time.Duration, i int) {
	before, known := l.before, l.known
	l.before, l.known = now, true
	if check > 0 {
		l.connect[i] = float32(check.Seconds())
	}
	if !known {
		return
	}
	l.in[i] = float32(float64(now.bytes.In-before.bytes.In) / took.Seconds())
	l.out[i] = float32(float64(now.bytes.Out-before.bytes.Out) / took.Seconds())
	if dials := now.dials - before.dials; dials > 0 {
		l.connect[i] = float32((now.seconds - before.seconds) / float64(dials))
	}
}

// answered is how long the slowest of a link's backends took to answer since a
// moment; 0 if none did.
func answered(s *live.Snapshot, name string, since time.Time) (took time.Duration) {
	for _, h := range s.Backends {
		if h.Link == name && h.Known && h.OK && h.At.After(since) {
			took = max(took, h.Took)
		}
	}
	return took
}

// rate is what flowed on a link in the last second, in bytes.
func (h *history) rate(name string) (in, out float64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	l := h.links[name]
	if l == nil || h.taken == 0 {
		return 0, 0
	}
	i := int((h.taken - 1) % historySeconds)
	return orZero(l.in[i]), orZero(l.out[i])
}

func orZero(f float32) float64 {
	if f != f {
		return 0
	}
	return float64(f)
}

// document is the last n samples as JSON:
//
//	{"at":[milliseconds],"links":[{"name":"redis","in":[bytes a second],"out":[…],"connect":[milliseconds]}]}
//
// null stands where there is no sample. It is written by hand, for it is long
// and JSON has no NaN.
func (h *history) document(n int) []byte {
	h.mu.Lock()
	defer h.mu.Unlock()
	n = min(n, int(min(h.taken, historySeconds)))
	first := int(h.taken) - n
	list := func(b []byte, number func(b []byte, i int) []byte) []byte {
		b = append(b, '[')
		for k := range n {
			if k > 0 {
				b = append(b, ',')
			}
			b = number(b, (first+k)%historySeconds)
		}
		return append(b, ']')
	}
	b := list([]byte(`{"at":`), func(b []byte, i int) []byte { return strconv.AppendInt(b, h.at[i], 10) })
	b = append(b, `,"links":[`...)
	for k, name := range h.names {
		if k > 0 {
			b = append(b, ',')
		}
		l := h.links[name]
		quoted, _ := json.Marshal(name) // a string always can be
		b = append(append(b, `{"name":`...), quoted...)
		b = list(append(b, `,"in":`...), func(b []byte, i int) []byte { return appendNumber(b, l.in[i], 0) })
		b = list(append(b, `,"out":`...), func(b []byte, i int) []byte { return appendNumber(b, l.out[i], 0) })
		b = list(append(b, `,"connect":`...), func(b []byte, i int) []byte { return appendNumber(b, l.connect[i]*1000, 3) })
		b = append(b, '}')
	}
	return append(b, `]}`...)
}

func appendNumber(b []byte, f float32, digits int) []byte {
	if f != f {
		return append(b, "null"...)
	}
	return strconv.AppendFloat(b, float64(f), 'f', digits, 64)
}

// endings keeps how often streams had ended for each reason, once a minute, so
// that it can be said how often that was lately.
type endings struct {
	now   [live.Reasons]uint64
	kept  [][live.Reasons]uint64 // oldest first, a minute apart
	since time.Time              // of the last one
}

func (e *endings) add(s *live.Snapshot) {
	e.now = [live.Reasons]uint64{}
	for i := range s.Accounts {
		for why, n := range s.Accounts[i].Ended {
			e.now[why] += n
		}
	}
	if s.At.Sub(e.since) < time.Minute {
		return
	}
	e.since = s.At
	e.kept = append(e.kept, e.now)
	if len(e.kept) > historySeconds/60 {
		e.kept = slices.Delete(e.kept, 0, 1)
	}
}

// Ending says how many streams have ended for one reason.
type Ending struct {
	Reason  string `json:"reason"`
	Orderly bool   `json:"orderly"` // both ends were done
	Count   uint64 `json:"count"`   // since the ambassador started
	Lately  uint64 `json:"lately"`  // in the last 15 minutes
}

// ended lists the reasons that there were, the most frequent of late first.
func (h *history) ended() []Ending {
	h.mu.Lock()
	defer h.mu.Unlock()
	all := []Ending{}
	for i, n := range h.endings.now {
		if n == 0 {
			continue
		}
		why := live.Reason(i)
		e := Ending{Reason: why.String(), Orderly: why.Orderly(), Count: n, Lately: n}
		if len(h.endings.kept) == historySeconds/60 {
			e.Lately = n - h.endings.kept[0][i]
		}
		all = append(all, e)
	}
	slices.SortStableFunc(all, func(a, b Ending) int {
		return cmp.Or(cmp.Compare(b.Lately, a.Lately), cmp.Compare(b.Count, a.Count))
	})
	return all
}
