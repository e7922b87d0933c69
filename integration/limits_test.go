//go:build unix

package integration

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// docs/limits.md is where an operator looks a limit up: every flag that is one stands
// there with its default and its commands, every file that is named exists, and every
// message is one that the program writes.
func TestLimitsAreDocumented(t *testing.T) {
	rows := limitRows(t)
	for _, command := range []string{"serve", "connect", "forward", "invite"} {
		code, help, stderr := once(t, nil, command, "--help")
		if code != 0 {
			t.Fatal(stderr)
		}
		for _, flag := range limitFlag.FindAllStringSubmatch(help, -1) {
			name, value := flag[1], flag[2]
			row := rows["`--"+name+"`"]
			switch {
			case row == nil:
				t.Errorf("%s --%s (%s) is not in docs/limits.md", command, name, value)
			case !strings.Contains(row.of, "`"+command+"`"):
				t.Errorf("docs/limits.md gives --%s to %s, and %s has it too", name, row.of, command)
			case !sameValue(row.value, value):
				t.Errorf("docs/limits.md has %s for --%s, and the program %s", row.value, name, value)
			}
		}
	}
	help := helpOfAll(t)
	for name, row := range rows {
		if flag, is := strings.CutPrefix(name, "`--"); is && !strings.Contains(help, "--"+strings.TrimSuffix(flag, "`")+" ") {
			t.Errorf("docs/limits.md: no command has %s", name)
		}
		if row.says == "" && row.bites == "" {
			t.Errorf("docs/limits.md does not say what happens at %s", name)
		}
	}
}

func TestMessagesOfLimitsAreWritten(t *testing.T) {
	source := programText(t)
	for name, row := range limitRows(t) {
		for _, quoted := range backquoted.FindAllStringSubmatch(row.says, -1) {
			if text := quoted[1]; !strings.Contains(source, text) && !fromTheSystem[text] {
				t.Errorf("%s: nothing in the program says %q", name, text)
			}
		}
		for _, quoted := range backquoted.FindAllStringSubmatch(row.of+row.bites, -1) {
			if path := quoted[1]; strings.HasSuffix(path, ".go") {
				if _, err := os.Stat(filepath.Join(repository, path)); err != nil {
					t.Errorf("%s: %v", name, err)
				}
			}
		}
	}
}

// limitFlag is a flag with a number or a time, in the text of --help.
var limitFlag = regexp.MustCompile(`--([a-z-]+) .*\(default "?([0-9][0-9hms]*)"?\)`)

var backquoted = regexp.MustCompile("`([^`]+)`")

// fromTheSystem are words of the kernel's, of TCP ends and of those that are put
// together.
var fromTheSystem = map[string]bool{
	"too many open files": true, "cannot assign requested address": true, "consumer-lost": true, "backend-lost": true,
}

// limitRow is one row of docs/limits.md.
type limitRow struct{ of, value, bites, says string }

func limitRows(t *testing.T) map[string]*limitRow {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(repository, "docs", "limits.md"))
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]*limitRow{}
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		if len(cells) != 5 {
			continue
		}
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		if rows[cells[0]] != nil && cells[0] != "limit" && cells[0] != "---" {
			t.Errorf("docs/limits.md has %s twice", cells[0])
		}
		rows[cells[0]] = &limitRow{of: cells[1], value: cells[2], bites: cells[3], says: cells[4]}
	}
	if len(rows) < 20 {
		t.Fatalf("%d rows in docs/limits.md: its table has another form than this test knows", len(rows))
	}
	return rows
}

func sameValue(a, b string) bool {
	x, errX := time.ParseDuration(a)
	y, errY := time.ParseDuration(b)
	return a == b || errX == nil && errY == nil && x == y
}

// programText is all of the program's source but tests.
func programText(t *testing.T) string {
	t.Helper()
	var all strings.Builder
	for _, dir := range []string{"cmd/ambassador", "server", "client", "mux", "certs", "internal"} {
		err := filepath.WalkDir(filepath.Join(repository, dir), func(path string, e fs.DirEntry, err error) error {
			if err != nil || e.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			b, err := os.ReadFile(path)
			all.Write(b)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return all.String()
}
