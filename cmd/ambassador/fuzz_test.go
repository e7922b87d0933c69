package main

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func FuzzAllow(f *testing.F) {
	f.Add("web-*=redis,postgres")
	f.Add("spiffe://a=b/c=redis")
	f.Add("[=x")
	f.Fuzz(func(t *testing.T, word string) {
		rules, err := parseAllow([]string{word})
		if err != nil {
			if !strings.Contains(err.Error(), "--allow") {
				t.Fatalf("%q: %v does not name the flag", word, err)
			}
			return
		}
		if len(rules) != 1 || rules[0].pattern+"="+strings.Join(rules[0].links, ",") != word {
			t.Fatalf("%q became %+v", word, rules)
		}
	})
}

// FuzzConfigFile: whatever stands in the file, flags are set from it or an error
// names it.
func FuzzConfigFile(f *testing.F) {
	f.Add("link: [redis, cache=10.0.0.5:6379]\nhold: 3s\n")
	f.Add("listen: 127.0.0.1:1\nno-such: 1\n")
	f.Add("a: &a [*a]\n")
	f.Add("- x\n")
	f.Add("\x00")
	f.Fuzz(func(t *testing.T, text string) {
		file := filepath.Join(t.TempDir(), "config.yaml")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		cmd := newServe(environment{stdout: io.Discard, stderr: io.Discard})
		if err := fromFile(file, cmd, map[string]bool{}); err != nil && !strings.Contains(err.Error(), file) {
			t.Fatalf("%q: %v does not name the file", text, err)
		}
	})
}

func FuzzPassedSockets(f *testing.F) {
	f.Add("1", "7")
	f.Add("-1", "7")
	f.Fuzz(func(t *testing.T, count, pid string) {
		n, err := passedCount([]string{"LISTEN_FDS=" + count, "LISTEN_PID=" + pid}, 7)
		if n < 0 || n > maxPassed || n > 0 && (err != nil || pid != "7") {
			t.Fatalf("%d, %v", n, err)
		}
	})
}
