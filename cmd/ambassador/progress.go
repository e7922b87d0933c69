package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/term"
)

// progress tells a person at a terminal what is waited for. A nil one says
// nothing: there is nobody to see it, and it does not belong into a log.
type progress struct {
	w io.Writer

	mu    sync.Mutex
	began time.Time // since when the same is waited for
	told  time.Time
	text  string
}

// How soon, and how often, a wait is told of: what goes at once is not.
const (
	progressAfter = 500 * time.Millisecond
	progressAgain = 10 * time.Second
)

func newProgress(w io.Writer) *progress {
	if f, ok := w.(*os.File); !ok || !term.IsTerminal(int(f.Fd())) {
		return nil
	}
	return &progress{w: w}
}

// say tells what is waited for now, if that is new, or has gone on for long. An
// empty text ends the wait.
func (p *progress) say(text string) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	if text == "" {
		p.began, p.text = time.Time{}, ""
		return
	}
	if p.began.IsZero() {
		p.began = now
	}
	waited := now.Sub(p.began)
	if waited < progressAfter || text == p.text && now.Sub(p.told) < progressAgain {
		return
	}
	p.text, p.told = text, now
	fmt.Fprintf(p.w, "ambassador: %s (%s)\n", text, ageOf(waited))
}

func (p *progress) end() { p.say("") }

// follow says what is waited for, again and again, until stop.
func (p *progress) follow(what func() string) (stop func()) {
	if p == nil {
		return func() {}
	}
	u := begin(context.Background(), every(waitEvery, nil, func() { p.say(what()) }))
	return u.stop
}
