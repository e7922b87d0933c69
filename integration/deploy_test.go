package integration

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The units are what systemd understands: a directive that it does not know would
// protect nothing, and say so in a log that nobody reads.
func TestSystemdTakesTheUnits(t *testing.T) {
	analyze := installed(t, "systemd-analyze")
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

// Alerts, and the dashboard's queries as rules, are what Prometheus understands.
func TestPrometheusTakesAlertsAndQueries(t *testing.T) {
	promtool := installed(t, "promtool")
	runTool(t, "", promtool, "check", "rules", filepath.Join(repository, "deploy", "prometheus", "alerts.yml"))

	text, err := os.ReadFile(filepath.Join(repository, "deploy", "grafana", "ambassador.json"))
	if err != nil {
		t.Fatal(err)
	}
	var dashboard struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(text, &dashboard); err != nil {
		t.Fatal(err)
	}
	var rules strings.Builder
	rules.WriteString("groups:\n  - name: dashboard\n    rules:\n")
	queries := 0
	for _, p := range dashboard.Panels {
		for _, target := range p.Targets {
			// Grafana puts in the time that suits the picture.
			expr := strings.ReplaceAll(target.Expr, "$__rate_interval", "1m")
			fmt.Fprintf(&rules, "      - {record: query_%d, expr: %q}\n", queries, expr)
			queries++
		}
	}
	if queries < 10 {
		t.Fatalf("%d queries", queries)
	}
	file := filepath.Join(t.TempDir(), "rules.yml")
	if err := os.WriteFile(file, []byte(rules.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	runTool(t, "", promtool, "check", "rules", file)
}
