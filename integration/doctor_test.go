package integration

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
)

// examination is what "ambassador doctor -o json" says.
type examination struct {
	Side    string
	Healthy bool
	Checks  []struct{ Check, About, Verdict, Found, Fix string }
}

// examine runs doctor, which has to come to a result within its own bound.
func examine(t *testing.T, env []string, args ...string) examination {
	t.Helper()
	code, stdout, stderr := once(t, env, append([]string{"doctor", "-o", "json"}, args...)...)
	return readExamination(t, code, stdout, stderr)
}

// readExamination also holds what is true of every one: the exit code says the
// same, and a failure comes with its fix.
func readExamination(t *testing.T, code int, stdout, stderr string) examination {
	t.Helper()
	var e examination
	if err := json.Unmarshal([]byte(stdout), &e); err != nil {
		t.Fatalf("%v: exit %d: %q %s", err, code, stdout, stderr)
	}
	if e.Healthy != (code == 0) || !e.Healthy && code != 1 {
		t.Errorf("healthy is %v with exit code %d", e.Healthy, code)
	}
	for _, c := range e.Checks {
		if c.Verdict != "ok" && c.Verdict != "note" && c.Fix == "" {
			t.Errorf("%s %s: %s, %q: without a fix", c.Check, c.About, c.Verdict, c.Found)
		}
	}
	return e
}

// verdicts are the names of the checks that came out so.
func (e examination) verdicts(verdict string) []string {
	var names []string
	for _, c := range e.Checks {
		if c.Verdict == verdict && !slices.Contains(names, c.Check) {
			names = append(names, c.Check)
		}
	}
	return names
}

// ailment is what doctor has to find: one check fails, those before it pass, and
// what it found and the fix hold some words.
type ailment struct {
	check string
	after string // a check that has to have passed before it; empty for none
	found string
	fix   string
}

func (e examination) shows(t *testing.T, a ailment) {
	t.Helper()
	if got := e.verdicts("failed"); !slices.Equal(got, []string{a.check}) {
		t.Errorf("failed: %v, want %s alone", got, a.check)
	}
	reached := a.after == ""
	for _, c := range e.Checks {
		if c.Verdict != "failed" {
			reached = reached || c.Check == a.after && c.Verdict == "ok"
			continue
		}
		if !reached {
			t.Errorf("%s did not pass before %s", a.after, c.Check)
		}
		if !strings.Contains(c.Found, a.found) {
			t.Errorf("found %q, want %q in it", c.Found, a.found)
		}
		if !strings.Contains(c.Fix, a.fix) {
			t.Errorf("the fix is %q, want %q in it", c.Fix, a.fix)
		}
		break
	}
	if t.Failed() {
		t.Logf("%+v", e)
	}
}

// suspects expects one check to come out as a warning, with some words in its fix,
// and none to fail.
func (e examination) suspects(t *testing.T, check, fix string) {
	t.Helper()
	if failed := e.verdicts("failed"); len(failed) > 0 {
		t.Errorf("failed: %v, want a warning alone: %+v", failed, e)
	}
	for _, c := range e.Checks {
		if c.Check == check && c.Verdict == "warning" && strings.Contains(c.Fix, fix) {
			return
		}
	}
	t.Errorf("no warning of %s with the fix %q: %+v", check, fix, e)
}
