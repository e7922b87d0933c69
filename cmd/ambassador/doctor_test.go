package main

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"ambassador/internal/admin"
)

// docs/doctor.md names every check, and no other.
func TestEveryCheckIsInTheDocs(t *testing.T) {
	text, err := os.ReadFile("../../docs/doctor.md")
	if err != nil {
		t.Fatal(err)
	}
	var documented []string
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z-]+)` \\|").FindAllStringSubmatch(string(text), -1) {
		documented = append(documented, m[1])
	}
	slices.Sort(documented)
	documented = slices.Compact(documented)
	if checks := checkNames(t); !slices.Equal(documented, checks) {
		t.Errorf("docs/doctor.md has %v\nthe code has %v", documented, checks)
	}
}

// checkNames are the constants check… of doctor_report.go.
func checkNames(t *testing.T) (names []string) {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), "doctor_report.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(f, func(n ast.Node) bool {
		v, ok := n.(*ast.ValueSpec)
		if !ok || !strings.HasPrefix(v.Names[0].Name, "check") || len(v.Values) != 1 {
			return true
		}
		name, err := strconv.Unquote(v.Values[0].(*ast.BasicLit).Value)
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, name)
		return true
	})
	slices.Sort(names)
	return names
}

// A diagnosis is shown line by line as it grows, and says what is to be mended
// first.
func TestDiagnosisAsText(t *testing.T) {
	for name, c := range map[string]struct {
		marks map[verdict]string
		want  string
	}{
		"plain": {newDisplay(nil, nil).marks, "ok   tls: fine\nwarn clock: late\n      fix: set it\nFAIL grant redis: none\n      fix: grant it\n1 passed, 1 to look at, 1 failed\n"},
		"utf-8": {utf8Marks, "✓ tls: fine\n! clock: late\n   fix: set it\n✗ grant redis: none\n   fix: grant it\n1 passed, 1 to look at, 1 failed\n"},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			d := &diagnosis{show: &display{w: &out, marks: c.marks}}
			d.ok(checkTLS, "", "fine")
			d.warn(checkClock, "", "late", "set it")
			d.fail(checkGranted, "redis", "none", "grant it")
			err := d.end()
			if out.String() != c.want {
				t.Errorf("%q, want %q", out.String(), c.want)
			}
			if d.Healthy || err == nil || err.Error() != "1 of 3 checks failed: mend grant redis first" {
				t.Errorf("healthy is %v: %v", d.Healthy, err)
			}
		})
	}
}

// What doctor may not see looks as if it were not there: who it runs as comes first.
func TestDiagnosisOfAnotherUserSaysSoFirst(t *testing.T) {
	d := &diagnosis{}
	d.warn(checkRunning, "", "/var/lib/ambassador cannot be opened", asItsUser)
	d.fail(checkLink, "", "no link", "give --link")
	if err := d.end(); err == nil || err.Error() != "1 of 2 checks failed: run doctor as the user that the ambassador runs as first: this one may not see what they look at" {
		t.Errorf("%v", err)
	}
	d = &diagnosis{}
	d.warn(checkRunning, "", "/var/lib/ambassador cannot be opened", asItsUser)
	if err := d.end(); err != nil {
		t.Errorf("%v, where nothing failed", err)
	}
}

// What the client that runs here says of itself is told once, and not of another
// provider than the one that is looked at.
func TestDiagnosisTellsOfTheClientThatRuns(t *testing.T) {
	r := &running{
		status: admin.Status{
			Role: admin.RoleClient, PID: 7, Provider: "big-server:7000", Verdict: "no session with big-server:7000: not trusted; 1 link down",
			Warnings: []admin.Warning{
				{Text: "no session with big-server:7000: its certificate is not trusted", Fix: adviseDoctor},
				{Text: "the leaf certificate ends soon"},
			},
		},
		events: []admin.Event{{Time: time.Now().Add(-3 * time.Minute), Text: "session lost", Reason: "reset"}},
	}
	for provider, want := range map[string][]finding{
		"big-server:7000": {
			{checkRunning, "", warned, "client (pid 7, version ) says: no session with big-server:7000: its certificate is not trusted", "mend what failed above, and see its log"},
			{checkRunning, "", warned, "the leaf certificate ends soon", seeStatus},
			{checkRunning, "", remarked, "3 minutes ago: session lost: reset", ""},
		},
		"other:7000": {
			{checkRunning, "", remarked, `the client (pid 7, version ) that runs here has another provider, big-server:7000: "ambassador doctor" without HOST:PORT is about that`, ""},
		},
	} {
		d := &diagnosis{Side: "client", Provider: provider}
		d.tell(r)
		if !slices.Equal(d.Checks, want) {
			t.Errorf("%s:\n%+v\nwant\n%+v", provider, d.Checks, want)
		}
	}
}

func TestUTF8IsAskedOfTheLocale(t *testing.T) {
	for _, c := range []struct {
		environ []string
		want    bool
	}{
		{nil, false},
		{[]string{"LANG=C"}, false},
		{[]string{"LANG=en_GB.UTF-8"}, true},
		{[]string{"LANG=C.utf8"}, true},
		{[]string{"LANG=en_GB.UTF-8", "LC_ALL=POSIX"}, false},
		{[]string{"LC_CTYPE=C.UTF-8", "LANG=C"}, true},
	} {
		if got := speaksUTF8(c.environ); got != c.want {
			t.Errorf("%v: %v", c.environ, got)
		}
	}
}
