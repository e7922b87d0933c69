package server

import (
	"fmt"
	"testing"
	"time"
)

func TestWarningsAreBounded(t *testing.T) {
	var r repeats
	now := time.Now()
	warnings := func(peer string, events int) (n int) {
		for i := range events {
			if fresh, _ := r.fresh(event{peer, "msg", fmt.Sprint(i)}, now); fresh {
				n++
			}
		}
		return n
	}
	if n := warnings("a", 5); n != 5 {
		t.Errorf("%d of 5 different events are warnings", n)
	}
	if n := warnings("a", 5); n != 0 {
		t.Errorf("%d of them again", n)
	}
	if n := warnings("a", 10_000); n != maxEvents-5 {
		t.Errorf("%d more of one peer, want %d in all", n, maxEvents)
	}
	if n := warnings("b", 3); n != 3 {
		t.Errorf("%d of 3 of another peer, which did nothing", n)
	}
	now = now.Add(repeatAfter)
	if n := warnings("a", 10_000); n != maxEvents {
		t.Errorf("%d a minute later, want %d", n, maxEvents)
	}
	for i := range 10 * maxRepeats {
		r.fresh(event{fmt.Sprint(i), "msg", ""}, now)
	}
	if len(r.last) > maxRepeats || len(r.count) > maxRepeats {
		t.Errorf("%d events of %d peers are remembered", len(r.last), len(r.count))
	}
}
