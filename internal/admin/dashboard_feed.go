package admin

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"

	"go.uber.org/zap"
)

const (
	// frameEvery is the time between two samples, and between two frames while a
	// page is open.
	frameEvery = time.Second
	// checkEvery is the time between two questions after the backends while a page is
	// open. With checkAge each is dialled about once a second, so that one that stops
	// shows within two.
	checkEvery = frameEvery / 2
	checkAge   = 900 * time.Millisecond
	// newsPause gathers what happens together into one frame.
	newsPause = 100 * time.Millisecond
	// checkPatience is how long a frame waits for the check before it. A slower
	// check is for the next frame.
	checkPatience = 400 * time.Millisecond
	// checkWithin ends a check that hangs.
	checkWithin = 10 * time.Second
	// knownAge is how old a check may be and still be shown, when no newer one comes
	// to an end: a dial that is not answered takes seconds.
	knownAge = 10 * time.Second
	// askedFor is how long a page that polls counts as open after it has asked.
	askedFor = 5 * time.Second
)

// feed is the newest frame and who wants it. There is one frame for all, so that
// a slow reader holds back nobody and no memory: it gets the next one there is.
type feed struct {
	wake chan struct{} // somebody wants a frame, and nobody did before

	mu       sync.Mutex
	watchers int
	asked    time.Time // when a page last polled
	frame    []byte    // nil while nobody looks
	next     chan struct{}
	checking bool

	// Of watch alone.
	sampled time.Time // when the history was last added to
	told    uint64    // the last event that is in a frame
	before  flows     // at the frame before
}

// watch takes a sample each second, and makes a frame of it when somebody looks.
// What happens in between makes a frame at once.
func (d *Dashboard) watch() {
	defer d.running.Done()
	tick := time.NewTicker(checkEvery)
	defer tick.Stop()
	var sampled time.Time
	for {
		select {
		case <-d.ctx.Done():
			return
		case <-d.feed.wake:
			d.check(checkPatience)
		case <-d.news():
			d.pause(newsPause)
		case now := <-tick.C:
			if now.Sub(sampled) < frameEvery-checkEvery/2 {
				if d.feed.wanted(now) {
					d.check(0)
				}
				continue
			}
			sampled = now
		}
		d.look(sampled)
	}
}

// look takes the sample that is due, and makes a frame if somebody looks.
func (d *Dashboard) look(due time.Time) {
	wanted := d.feed.wanted(time.Now())
	sample := due.After(d.feed.sampled)
	if sample && wanted {
		d.check(checkPatience)
	}
	s := d.Ambassador.Table.Snapshot(wanted)
	if sample {
		d.feed.sampled = due
		d.history.add(&s, d.facts().Links)
	}
	if !wanted {
		d.feed.forget()
		return
	}
	frame, err := json.Marshal(d.compose(&s))
	if err != nil {
		d.Logger.Error("the dashboard's frame could not be written", zap.Error(err))
		return
	}
	d.feed.publish(frame)
}

// news is closed when something happens that the newest frame does not have; nil
// while there is none.
func (d *Dashboard) news() <-chan struct{} {
	if !d.feed.wanted(time.Now()) {
		return nil
	}
	got, next := d.Ambassador.Table.Events(d.feed.told)
	if len(got) == 0 {
		return next
	}
	now := make(chan struct{})
	close(now)
	return now
}

func (d *Dashboard) pause(long time.Duration) {
	over := time.NewTimer(long)
	defer over.Stop()
	select {
	case <-over.C:
	case <-d.ctx.Done():
	}
}

func (d *Dashboard) facts() Facts {
	if d.Ambassador.Facts == nil {
		return Facts{}
	}
	return d.Ambassador.Facts()
}

// check has the backends dialled, and waits so long for it. What it learns is in
// the table, and why it learnt nothing in the status.
func (d *Dashboard) check(patient time.Duration) {
	if d.Ambassador.Check == nil || !d.feed.beginCheck() {
		return
	}
	done := make(chan struct{})
	d.running.Add(1)
	go func() {
		defer d.running.Done()
		defer close(done)
		defer d.feed.endCheck()
		ctx, cancel := context.WithTimeout(d.ctx, checkWithin)
		defer cancel()
		if err := d.Ambassador.Check(ctx, checkAge); err != nil {
			d.Logger.Debug("the backends could not be checked", zap.Error(err))
		}
	}()
	over := time.NewTimer(patient)
	defer over.Stop()
	select {
	case <-done:
	case <-over.C:
	case <-d.ctx.Done():
	}
}

func (f *feed) beginCheck() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	began := !f.checking
	f.checking = true
	return began
}

func (f *feed) endCheck() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.checking = false
}

// wanted is true while somebody looks.
func (f *feed) wanted(now time.Time) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.watchers > 0 || now.Sub(f.asked) < askedFor
}

// enter adds a watcher, if there is room for one.
func (f *feed) enter() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.watchers == maxWatchers {
		return false
	}
	f.watchers++
	return true
}

func (f *feed) leave() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.watchers--
}

// newest is the newest frame, nil if there is none yet, and a channel that is
// closed with the next one.
func (f *feed) newest() ([]byte, <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.next == nil {
		f.next = make(chan struct{})
	}
	if f.frame == nil {
		select {
		case f.wake <- struct{}{}:
		default:
		}
	}
	return f.frame, f.next
}

func (f *feed) publish(frame []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.frame = frame
	if f.next != nil {
		close(f.next)
		f.next = nil
	}
}

// forget drops what is only for those who look: a later one is not to see it.
func (f *feed) forget() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.frame, f.before, f.told = nil, flows{}, 0
}

// serveFeed sends a frame each second as a server-sent event
// (https://html.spec.whatwg.org/multipage/server-sent-events.html).
func (d *Dashboard) serveFeed(w http.ResponseWriter, r *http.Request) {
	if !d.feed.enter() {
		w.Header().Set("Retry-After", "10")
		refuse(w, http.StatusServiceUnavailable, fmt.Sprintf("%d pages are fed already: ask for /frame", maxWatchers))
		return
	}
	defer d.feed.leave()
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no") // nginx would keep events back
	if r.Method == http.MethodHead {
		return
	}
	control := http.NewResponseController(w)
	for {
		frame, next := d.feed.newest()
		if frame != nil {
			control.SetWriteDeadline(time.Now().Add(writeWithin))
			if _, err := fmt.Fprintf(w, "event: frame\ndata: %s\n\n", frame); err != nil {
				return
			}
			if err := control.Flush(); err != nil {
				return
			}
		}
		select {
		case <-next:
		case <-r.Context().Done():
			return
		}
	}
}

// serveFrame sends the newest frame, for pages that cannot be fed.
func (d *Dashboard) serveFrame(w http.ResponseWriter, r *http.Request) {
	d.feed.mu.Lock()
	d.feed.asked = time.Now()
	d.feed.mu.Unlock()
	frame, next := d.feed.newest()
	if frame == nil {
		select {
		case <-next:
			frame, _ = d.feed.newest()
		case <-r.Context().Done():
			return
		}
	}
	writeJSON(w, frame)
}

// serveHistory sends what the charts show.
func (d *Dashboard) serveHistory(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, d.history.document(historySeconds))
}

func writeJSON(w http.ResponseWriter, body []byte) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.Write(body)
}
