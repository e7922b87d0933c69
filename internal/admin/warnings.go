package admin

import (
	"fmt"
	"time"

	"ambassador/internal/live"
)

// When to warn.
const (
	// endsSoon is what a certificate has left when it is told of. One that renews
	// itself has tried for a week then, of its 30 days.
	endsSoon = 7 * 24 * time.Hour
	// silentLong is more than a peer that lives lets pass: it is asked after 15 s.
	silentLong = 20 * time.Second
	// lately is how long something that happened is still told of.
	lately = 5 * time.Minute
	// manyRefused is how many handshakes of strangers in that time are no accident.
	manyRefused = 10
)

// warnings are what is about to break, each with what to do about it.
func (l *look) warnings() []Warning {
	all := listed(append([]Warning(nil), l.facts.Warnings...))
	for _, c := range l.facts.Certificates {
		if w, is := l.ofCertificate(c); is {
			all = append(all, w)
		}
	}
	if l.facts.ReloadError != "" {
		all = append(all, Warning{
			Text: "files were not taken over: " + l.facts.ReloadError + "; what was in use before stays so",
			Fix:  `mend that, then run "ambassador reload"`,
		})
	}
	all = append(all, l.ofSilence()...)
	all = append(all, l.ofRefused()...)
	if n := l.a.refused.rise(l.At, l.Handshakes); n >= manyRefused {
		all = append(all, Warning{
			Text: fmt.Sprintf("%d connections in the last minutes became no session", n),
			Fix:  `"handshakes_refused" in "ambassador status -o json" has the reasons: strangers who find the port are harmless, a client of yours that cannot come in is not`,
		})
	}
	return all
}

// ofCertificate warns of one that ends soon, or could not be renewed.
func (l *look) ofCertificate(c Certificate) (Warning, bool) {
	left := c.NotAfter.Sub(l.At)
	due := c.Renews == nil || c.Renews.Before(l.At)
	name := c.Name + " certificate"
	switch {
	case left <= 0:
		return Warning{Text: fmt.Sprintf("the %s has expired on %s", name, day(c.NotAfter)), Fix: l.renewal(c)}, true
	case c.Error != "":
		return Warning{Text: fmt.Sprintf("the %s could not be renewed: %s; it ends on %s", name, c.Error, day(c.NotAfter)), Fix: l.renewal(c)}, true
	case left < endsSoon && due:
		return Warning{Text: fmt.Sprintf("the %s ends on %s and was not renewed", name, day(c.NotAfter)), Fix: l.renewal(c)}, true
	}
	return Warning{}, false
}

// renewal says who renews a certificate, if it does not do so itself.
func (l *look) renewal(c Certificate) string {
	switch {
	case c.Renews == nil:
		return "bring a new one from its CA, in the same files"
	case l.a.Role == RoleClient:
		return `let it reach its provider, or run "ambassador invite NAME" there and join anew`
	}
	return `run "ambassador certs renew" on this host`
}

func day(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 MST") }

// ofSilence warns of peers that have not been heard, which their streams notice
// only when they are given up.
func (l *look) ofSilence() []Warning {
	var all []Warning
	for i := range l.Sessions {
		if s := &l.Sessions[i]; s.Silent > silentLong {
			all = append(all, Warning{
				Text: fmt.Sprintf("nothing was heard from %s at %s for %v", s.Peer, s.Remote, s.Silent.Round(time.Second)),
				Fix:  "look at the network between the two: the session is given up after 30s",
			})
		}
	}
	if len(all) > 3 {
		more := Warning{Text: fmt.Sprintf("and from %d more", len(all)-3), Fix: all[0].Fix}
		all = append(all[:3], more)
	}
	return all
}

// ofRefused warns of clients that were turned away lately: once for each, with what
// was said last. One that has had a session since then was let in again.
func (l *look) ofRefused() []Warning {
	events, _ := l.a.Table.Events(0)
	var order []string
	last := make(map[string]live.Event)
	times := make(map[string]int)
	letIn := make(map[string]time.Time) // the last time
	for i := range l.Sessions {
		if s := &l.Sessions[i]; s.Since.After(letIn[s.Peer]) {
			letIn[s.Peer] = s.Since
		}
	}
	for _, e := range events {
		if e.Kind == live.SessionOpened && e.At.After(letIn[e.Peer]) {
			letIn[e.Peer] = e.At
		}
	}
	for _, e := range events {
		if e.Kind != live.DoorClosed || l.At.Sub(e.At) > lately || letIn[e.Peer].After(e.At) {
			continue
		}
		if times[e.Peer] == 0 {
			order = append(order, e.Peer)
		}
		last[e.Peer], times[e.Peer] = e, times[e.Peer]+1
	}
	var all []Warning
	for _, peer := range order {
		e := last[peer]
		text := e.Text
		if peer != "" {
			text = peer + ": " + text
		}
		if n := times[peer]; n > 1 {
			text += fmt.Sprintf(" (%d times lately)", n)
		}
		all = append(all, Warning{Text: text, Fix: `see "ambassador certs list" for what it may use; "ambassador invite NAME" brings a revoked client back`})
	}
	return all
}
