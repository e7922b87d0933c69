package integration

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var securityTest = regexp.MustCompile(`\b(certs|server|client|mux|integration|cmd/ambassador|internal/\w+) ((?:Test|Fuzz)\w+)`)

// Each line of the threat model names tests that are there.
func TestThreatModelNamesItsTests(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(repository, "SECURITY.md"))
	if err != nil {
		t.Fatal(err)
	}
	sources := map[string]string{}
	source := func(dir string) string {
		if sources[dir] == "" {
			files, err := filepath.Glob(filepath.Join(repository, dir, "*_test.go"))
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range files {
				b, err := os.ReadFile(f)
				if err != nil {
					t.Fatal(err)
				}
				sources[dir] += string(b)
			}
		}
		return sources[dir]
	}
	threats, inTable := 0, false
	for n, line := range strings.Split(string(text), "\n") {
		switch {
		case strings.HasPrefix(line, "| threat |"):
			inTable = true
			continue
		case !strings.HasPrefix(line, "|"):
			inTable = false
		}
		if !inTable || strings.HasPrefix(line, "|---") {
			continue
		}
		threats++
		cells := strings.Split(line, "|")
		tests := securityTest.FindAllStringSubmatch(cells[len(cells)-2], -1)
		if len(tests) == 0 {
			t.Errorf("SECURITY.md:%d: no test: %s", n+1, line)
		}
		for _, m := range tests {
			if !strings.Contains(source(m[1]), "func "+m[2]+"(") {
				t.Errorf("SECURITY.md:%d: %s has no %s", n+1, m[1], m[2])
			}
		}
	}
	if threats < 30 {
		t.Errorf("only %d threats were seen", threats)
	}
}
