package live

import (
	"testing"
	"time"
)

func TestHealthIsWhatTheLastDialShowed(t *testing.T) {
	var table Table
	now := time.Now()
	if h := table.Backend("redis", 1); h.Known || h.Link != "redis" || h.Port != 1 {
		t.Errorf("before any dial: %+v", h)
	}
	table.Dialled("redis", 1, Running, now, time.Millisecond)
	table.Dialled("redis", 1, BackendRefused, now.Add(2*time.Second), 2*time.Millisecond)
	table.Dialled("redis", 1, Running, now.Add(time.Second), 0) // came late
	table.Dialled("redis", 1, BackendRefused, now.Add(3*time.Second), 0)
	want := Health{
		Link: "redis", Port: 1, Known: true, Reason: BackendRefused, At: now.Add(3 * time.Second),
		Took: 2 * time.Millisecond, Changed: now.Add(2 * time.Second),
	}
	if h := table.Backend("redis", 1); h != want {
		t.Errorf("\n%+v, want\n%+v", h, want)
	}
	table.Dialled("redis", 1, Running, now.Add(4*time.Second), time.Millisecond)
	table.Dialled("mq", 2, BackendTimeout, now, time.Second)
	if s := table.Snapshot(false); len(s.Backends) != 2 || s.Backends[0].Link != "mq" || !s.Backends[1].OK {
		t.Errorf("%+v", s.Backends)
	}
	var kinds []string
	events, _ := table.Events(0)
	for _, e := range events {
		kinds = append(kinds, e.Kind+" "+e.Link+" "+e.Reason)
	}
	wantKinds := []string{BackendDown + " redis backend-refused", BackendUp + " redis ", BackendDown + " mq backend-timeout"}
	if len(kinds) != len(wantKinds) {
		t.Fatalf("%q, want %q", kinds, wantKinds)
	}
	for i := range kinds {
		if kinds[i] != wantKinds[i] {
			t.Errorf("event %q, want %q", kinds[i], wantKinds[i])
		}
	}
	table.Forget("mq", 2)
	if s := table.Snapshot(false); len(s.Backends) != 1 {
		t.Errorf("%+v", s.Backends)
	}
}
