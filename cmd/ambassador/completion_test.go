package main

import (
	"bytes"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ambassador/internal/admin"
	"ambassador/internal/live"
)

// completed is what a shell is offered behind a command line.
func completed(t *testing.T, words ...string) []string {
	t.Helper()
	var out bytes.Buffer
	if code := execute(environment{args: append([]string{"__complete"}, words...), stdout: &out, stderr: io.Discard}); code != exitDone {
		t.Fatalf("exit code %d", code)
	}
	return strings.Split(out.String(), "\n")
}

func TestCompletionAsksWhatRuns(t *testing.T) {
	dir := t.TempDir()
	l, err := admin.Listen(filepath.Join(dir, "serve.sock"), false)
	if err != nil {
		t.Fatal(err)
	}
	c := &admin.Control{Ambassador: &admin.Ambassador{Role: admin.RoleProvider, Table: &live.Table{}, Facts: func() admin.Facts {
		return admin.Facts{
			Links: []admin.LinkFacts{{Name: "redis"}, {Name: "mq"}},
			Peers: []admin.PeerFacts{{Identity: "spiffe://ambassador/client/web"}},
		}
	}}}
	served := make(chan error)
	go func() { served <- c.Serve(l) }()
	defer func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		if err := <-served; err != nil {
			t.Error(err)
		}
	}()
	for line, want := range map[string]struct{ offered, not string }{
		"wait --state-dir DIR --link ":       {"redis", "web"},
		"sessions --state-dir DIR --link r":  {"redis", "mq"},
		"sessions --state-dir DIR --peer ":   {"web", "redis"},
		"grant --state-dir DIR web ":         {"mq", "web"},
		"grant --state-dir DIR web redis ":   {"mq", "web"},
		"revoke --state-dir DIR web ":        {"redis", "web"},
		"invite --state-dir DIR web --link ": {"mq", "web"},
		"certs revoke --state-dir DIR web ":  {":4", "redis"},
	} {
		got := completed(t, strings.Split(strings.ReplaceAll(line, "DIR", dir), " ")...)
		if !slices.Contains(got, want.offered) || slices.Contains(got, want.not) {
			t.Errorf("%q: %q, want %q and not %q", line, got, want.offered, want.not)
		}
	}
}
