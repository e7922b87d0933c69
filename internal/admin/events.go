package admin

import (
	"context"
	"time"

	"ambassador/internal/live"
)

// Events are those after the one of that ID which are still kept, oldest first. If
// there are none it waits for one, for as long as wait and until ctx is done.
func (a *Ambassador) Events(ctx context.Context, after uint64, wait time.Duration) Events {
	got, next := a.Table.Events(after)
	if len(got) == 0 && wait > 0 {
		over := time.NewTimer(wait)
		defer over.Stop()
		select {
		case <-next:
			got, _ = a.Table.Events(after)
		case <-over.C:
		case <-ctx.Done():
		}
	}
	d := Events{Schema: Schema, Events: make([]Event, len(got))}
	for i, e := range got {
		d.Events[i] = eventOf(e)
	}
	return d
}

func eventOf(e live.Event) Event {
	return Event{ID: e.ID, Time: e.At, Kind: e.Kind, Text: e.Text, Peer: e.Peer, Link: e.Link, Reason: e.Reason, Problem: e.Problem}
}
