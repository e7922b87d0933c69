package main

import "ambassador/internal/admin"

// paint colours what is shown on a terminal, unless NO_COLOR asks for none
// (no-color.org). The zero value leaves text as it is.
type paint struct{ on bool }

func paintOf(env environment) paint {
	_, none := lookup(env.environ, "NO_COLOR")
	term, _ := lookup(env.environ, "TERM")
	return paint{on: !none && term != "dumb" && isTerminal(env.stdout)}
}

// The colours used (ECMA-48, SGR).
const (
	plain  = "\x1b[0m"
	bold   = "\x1b[1m"
	faint  = "\x1b[2m"
	red    = "\x1b[31m"
	green  = "\x1b[32m"
	yellow = "\x1b[33m"
)

func (p paint) with(colour, text string) string {
	if !p.on || text == "" {
		return text
	}
	return colour + text + plain
}

func (p paint) dim(text string) string { return p.with(faint, text) }

// cell colours the words for states, and nothing else.
func (p paint) cell(text string) string {
	switch text {
	case admin.StateUp:
		return p.with(green, text)
	case admin.StateDegraded, admin.StateUnknown:
		return p.with(yellow, text)
	case admin.StateDown, "revoked":
		return p.with(red, text)
	}
	return text
}
