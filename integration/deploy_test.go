package integration

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// The units are what systemd understands: a directive that it does not know would
// protect nothing, and say so in a log that nobody reads.
func TestSystemdTakesTheUnits(t *testing.T) {
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("needs systemd-analyze (Debian's systemd)")
	}
	units, err := filepath.Glob(filepath.Join(repository, "deploy", "systemd", "*.s*"))
	if err != nil || len(units) != 3 {
		t.Fatalf("%v %v", units, err)
	}
	// It looks for the program where the units say.
	dir := t.TempDir()
	for i, unit := range units {
		text, err := os.ReadFile(unit)
		if err != nil {
			t.Fatal(err)
		}
		units[i] = filepath.Join(dir, filepath.Base(unit))
		if err := os.WriteFile(units[i], bytes.ReplaceAll(text, []byte("/usr/local/bin/ambassador"), []byte(ambassador)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	// --man=no: the pages are not installed here.
	runTool(t, "", analyze, append([]string{"verify", "--man=no", "--recursive-errors=no"}, units...)...)
}
