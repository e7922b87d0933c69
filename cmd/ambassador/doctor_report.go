package main

import (
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"
)

// The checks of doctor, in the order in which it makes them. The names are for
// scripts and stay; docs/doctor.md says of each what its failure means.
const (
	checkLink     = "link"
	checkVariable = "link-variable"
	checkExpose   = "expose"

	checkStateDir    = "state-dir"
	checkModes       = "file-modes"
	checkCertificate = "certificate"
	checkExpiry      = "expiry"
	checkClock       = "clock"
	checkCA          = "ca"
	checkSeal        = "ca-seal"
	checkLock        = "lock"
	checkDisk        = "disk"
	checkGrants      = "grants"
	checkInvitations = "invitations"

	checkProviderName        = "provider-name"
	checkProviderDial        = "provider-dial"
	checkTLS                 = "tls"
	checkProviderCertificate = "provider-certificate"
	checkProviderExpiry      = "provider-expiry"
	checkAdmission           = "admission"
	checkGranted             = "grant"
	checkRoundTrip           = "round-trip"
	checkLocalPort           = "local-port"

	checkBackendName = "backend-name"
	checkBackendDial = "backend-dial"
	checkListen      = "listen"
	checkDescriptors = "descriptors"
	checkRunning     = "running"
)

// verdict is how a check came out.
type verdict string

const (
	passed   verdict = "ok"
	warned   verdict = "warning" // it works, and may not for long
	failed   verdict = "failed"
	remarked verdict = "note" // it is neither good nor bad, or was bad and is over
)

// finding is one line of a diagnosis.
type finding struct {
	Check   string  `json:"check"`
	About   string  `json:"about,omitempty"` // such as the link's port, where a check is made for several
	Verdict verdict `json:"verdict"`
	Found   string  `json:"found"`
	Fix     string  `json:"fix,omitempty"` // what to do; never empty after a failure
}

// diagnosis is what doctor finds out. It is shown as it grows.
type diagnosis struct {
	Schema   int       `json:"schema"`
	Side     string    `json:"side"`               // client or provider
	Provider string    `json:"provider,omitempty"` // HOST:PORT; client only
	Time     time.Time `json:"time"`
	Healthy  bool      `json:"healthy"` // nothing has failed
	Checks   []finding `json:"checks"`

	show    *display // nil for JSON
	running *running // the ambassador of this side that runs here; nil for none
}

// ok notes that a check has passed.
func (d *diagnosis) ok(check, about, found string, args ...any) {
	d.add(finding{Check: check, About: about, Verdict: passed, Found: fmt.Sprintf(found, args...)})
}

// warn notes what works and may not for long.
func (d *diagnosis) warn(check, about, found, fix string) {
	d.add(finding{Check: check, About: about, Verdict: warned, Found: found, Fix: fix})
}

// fail notes what does not work.
func (d *diagnosis) fail(check, about, found, fix string) {
	d.add(finding{Check: check, About: about, Verdict: failed, Found: found, Fix: fix})
}

func (d *diagnosis) add(f finding) {
	d.Checks = append(d.Checks, f)
	d.show.finding(f)
}

// remark notes what one who looks for a cause may want to know.
func (d *diagnosis) remark(check, about, found string, args ...any) {
	d.add(finding{Check: check, About: about, Verdict: remarked, Found: fmt.Sprintf(found, args...)})
}

// count is how many findings have a verdict.
func (d *diagnosis) count(v verdict) int {
	n := 0
	for _, f := range d.Checks {
		if f.Verdict == v {
			n++
		}
	}
	return n
}

// end sums up. Its error is what is to be mended first.
func (d *diagnosis) end() error {
	d.Healthy = d.count(failed) == 0
	summary := fmt.Sprintf("%d passed, %d to look at, %d failed", d.count(passed), d.count(warned), d.count(failed))
	d.show.summary(summary)
	first := ""
	for _, f := range d.Checks {
		switch {
		case f.Fix == asItsUser && !d.Healthy:
			return fmt.Errorf("%d of %d checks failed: %s first: this one may not see what they look at", d.count(failed), len(d.Checks), asItsUser)
		case f.Verdict == failed && first == "":
			first = f.name()
		}
	}
	if d.Healthy {
		return nil
	}
	return fmt.Errorf("%d of %d checks failed: mend %s first", d.count(failed), len(d.Checks), first)
}

// asItsUser is the fix where doctor itself was kept out: what else has failed then
// says little.
const asItsUser = "run doctor as the user that the ambassador runs as"

func (f finding) name() string { return strings.TrimSpace(f.Check + " " + f.About) }

// display writes findings as text. A nil one writes nothing.
type display struct {
	w        io.Writer
	marks    map[verdict]string
	terminal bool // what is being waited for can be shown, and wiped
}

var (
	asciiMarks = map[verdict]string{passed: "ok  ", warned: "warn", failed: "FAIL", remarked: "note"}
	utf8Marks  = map[verdict]string{passed: "✓", warned: "!", failed: "✗", remarked: "·"}
)

func newDisplay(w io.Writer, environ []string) *display {
	d := &display{w: w, terminal: isTerminal(w), marks: asciiMarks}
	if d.terminal && speaksUTF8(environ) {
		d.marks = utf8Marks
	}
	return d
}

// speaksUTF8 asks the environment as setlocale(3) does.
func speaksUTF8(environ []string) bool {
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if value, ok := lookup(environ, name); ok {
			value = strings.ToLower(value)
			return strings.Contains(value, "utf-8") || strings.Contains(value, "utf8")
		}
	}
	return false
}

// wiped goes back to the line's beginning and clears it (ECMA-48 §8.3.41).
const wiped = "\r\x1b[K"

// waiting shows what is being waited for, on a terminal.
func (d *display) waiting(what string, args ...any) {
	if d != nil && d.terminal {
		fmt.Fprintf(d.w, wiped+what+" ...", args...)
	}
}

func (d *display) finding(f finding) {
	if d == nil {
		return
	}
	if d.terminal {
		fmt.Fprint(d.w, wiped)
	}
	fmt.Fprintf(d.w, "%s %s: %s\n", d.marks[f.Verdict], f.name(), f.Found)
	if f.Fix != "" {
		indent := strings.Repeat(" ", utf8.RuneCountInString(d.marks[f.Verdict])+2)
		fmt.Fprintf(d.w, "%sfix: %s\n", indent, f.Fix)
	}
}

func (d *display) summary(line string) {
	if d == nil {
		return
	}
	if d.terminal {
		fmt.Fprint(d.w, wiped)
	}
	fmt.Fprintln(d.w, line)
}
