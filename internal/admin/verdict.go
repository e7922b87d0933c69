package admin

import (
	"fmt"
	"strings"

	"ambassador/internal/live"
)

// verdict says in one line how it is, and whether the ambassador is ready: the
// tunnel up, and the backends of all links answering.
func (l *look) verdict(links []Link, streams int) (line string, ready bool) {
	switch {
	case l.facts.Draining && streams > 0:
		return "draining: " + count(streams, "connection") + " left", false
	case l.facts.Draining:
		return "draining", false
	case l.facts.Tunnel != "":
		return l.tunnelless(len(links)), false
	case len(links) == 0:
		return "no link to offer", false
	}
	return l.judge(links)
}

// tunnelless says why a client has no session for new connections. It may have one
// for those that run: while its provider drains.
func (l *look) tunnelless(links int) string {
	down := count(links, "link") + " down"
	for _, s := range l.Sessions {
		if s.Draining {
			return fmt.Sprintf("the session with %s is draining and takes no new connections; no new session: %s; %s", l.facts.Provider, l.facts.Tunnel, down)
		}
	}
	return fmt.Sprintf("no session with %s: %s; %s", l.facts.Provider, l.facts.Tunnel, down)
}

// judge counts the links by state, and says what is wrong with those that are not
// up.
func (l *look) judge(links []Link) (line string, ready bool) {
	var parts, why []string
	for _, state := range []string{StateUp, StateDegraded, StateDown, StateUnknown} {
		n := 0
		for i := range links {
			if links[i].State != state {
				continue
			}
			n++
			if state == StateDegraded || state == StateDown {
				why = append(why, trouble(&links[i]))
			}
		}
		if n == 0 {
			continue
		}
		part := fmt.Sprintf("%d %s", n, spokenState(state))
		if len(parts) == 0 {
			part = count(n, "link") + " " + spokenState(state)
		}
		parts = append(parts, part)
	}
	line = strings.Join(parts, ", ")
	if len(why) > 0 {
		line += ": " + strings.Join(why, "; ")
	}
	if l.unchecked != "" && len(why) == 0 {
		line += ": " + l.unchecked
	}
	return line, links[0].State == StateUp && len(parts) == 1
}

// trouble is a link and why it is not up, with the port where others are up.
func trouble(link *Link) string {
	for _, p := range link.Ports {
		if p.State != StateDown {
			continue
		}
		if len(link.Ports) > 1 {
			return fmt.Sprintf("%s:%d: %s", link.Name, p.Port, Spoken(p.Reason))
		}
		break
	}
	return link.Name + ": " + Spoken(link.Reason)
}

func spokenState(state string) string {
	if state == StateUnknown {
		return "not checked yet"
	}
	return state
}

// count is a number of things: "1 link", "2 links".
func count(n int, thing string) string {
	if n != 1 {
		thing += "s"
	}
	return fmt.Sprintf("%d %s", n, thing)
}

// spoken has the reasons whose words alone say too little.
var spoken = map[string]string{
	live.BackendUnreachable.String(): "no route to the backend",
	live.BackendTimeout.String():     "backend did not answer in time",
	live.BackendUnknown.String():     "backend's name was not found",
	live.BackendFailed.String():      "backend could not be reached",
	live.StreamLimit.String():        "too many connections",
	live.MemoryLimit.String():        "too slow a reader while memory was short",
	live.IdleHalfClosed.String():     "half closed and silent for too long",
}

// Spoken is a reason as one says it: "backend refused" for backend-refused.
func Spoken(reason string) string {
	if words, ok := spoken[reason]; ok {
		return words
	}
	return strings.ReplaceAll(reason, "-", " ")
}
