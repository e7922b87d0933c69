package live

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestEventsAreKeptInOrder(t *testing.T) {
	var table Table
	_, wake := table.Events(0)
	table.Event(Event{Kind: Notice, Text: "first"})
	within(t, "who waits is told", wake)
	for i := range keepEvents + 44 {
		table.Event(Event{Kind: Notice, Peer: fmt.Sprint(i), Text: "more"})
	}
	all, wake := table.Events(0)
	if len(all) != keepEvents || all[0].ID != 46 || all[len(all)-1].ID != keepEvents+45 {
		t.Fatalf("%d events from %d to %d", len(all), all[0].ID, all[len(all)-1].ID)
	}
	for i, e := range all {
		if e.ID != all[0].ID+uint64(i) || e.At.IsZero() {
			t.Fatalf("event %d is %+v", i, e)
		}
	}
	if got, _ := table.Events(all[len(all)-2].ID); len(got) != 1 || got[0] != all[len(all)-1] {
		t.Errorf("after the last but one: %v", got)
	}
	if got, _ := table.Events(all[len(all)-1].ID); len(got) != 0 {
		t.Errorf("after the last: %v", got)
	}
	select {
	case <-wake:
		t.Error("told of nothing")
	default:
	}
}

// One client that comes and goes does not push out what others have to say.
func TestEventsThatAreAlikeAreBounded(t *testing.T) {
	var table Table
	table.Event(Event{Kind: BackendDown, Link: "redis", Text: "worth knowing"})
	for range 10 * keepEvents {
		table.OpenSession("flapper", "", newCarrier(), func() {}).End(nil)
	}
	all, _ := table.Events(0)
	if len(all) != 1+2*keepAlike || all[0].Text != "worth knowing" {
		t.Fatalf("%d events, the first %+v", len(all), all[0])
	}
	if last := all[len(all)-1].Text; !strings.Contains(last, "left out") {
		t.Errorf("nothing says that some are left out: %q", last)
	}
}

func TestEventsAreKeptAgainAfterAWhile(t *testing.T) {
	var ev events
	e, now := Event{Kind: Notice}, time.Now()
	for range 2 * keepAlike {
		ev.alikeSoFar(e, now)
	}
	if n := ev.alikeSoFar(e, now.Add(alikeWithin)); n != 1 {
		t.Errorf("%d alike after a minute", n)
	}
}
