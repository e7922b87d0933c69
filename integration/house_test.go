package integration

import (
	"encoding/json"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// goPackage is what "go list -json" says of one package.
type goPackage struct {
	ImportPath   string
	Doc          string
	Imports      []string
	TestImports  []string
	XTestImports []string
	Module       *struct{ Path string }
	Standard     bool
}

func goList(t *testing.T, args ...string) []goPackage {
	t.Helper()
	cmd := exec.Command("go", append([]string{"list", "-json"}, args...)...)
	cmd.Dir = repository
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var all []goPackage
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p goPackage
		if err := d.Decode(&p); err == io.EOF {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}

// mayImport says which packages of the project each one may import, tests
// included. One that is not listed may import nothing of it.
var mayImport = map[string][]string{
	"ambassador/cmd/ambassador": {"ambassador/server", "ambassador/client", "ambassador/certs", "ambassador/internal/..."},
	"ambassador/cmd/demo":       {"ambassador/server", "ambassador/client", "ambassador/certs", "ambassador/internal/..."},
	"ambassador/server":         {"ambassador/mux", "ambassador/internal/link", "ambassador/internal/relay", "ambassador/internal/live"},
	"ambassador/client":         {"ambassador/mux", "ambassador/internal/link", "ambassador/internal/relay", "ambassador/internal/live"},
	"ambassador/internal/admin": {"ambassador/internal/live"},
	"ambassador/integration":    {"ambassador/..."},
	// The clients that it makes by the thousand; all else runs the real binary.
	"ambassador/integration/bench": {"ambassador/certs", "ambassador/mux"},
}

// onlyImporter holds third-party code to one package each, so that it can be
// replaced there.
var onlyImporter = map[string]string{
	"github.com/hashicorp/yamux": "ambassador/mux",
	"github.com/chromedp":        "ambassador/integration",
	"golang.org/x/crypto":        "ambassador/certs",
	"golang.org/x/time":          "ambassador/certs",
	"github.com/spf13/cobra":     "ambassador/cmd/ambassador",
	"github.com/spf13/pflag":     "ambassador/cmd/ambassador",
	"go.yaml.in/yaml/v3":         "ambassador/cmd/ambassador",

	"github.com/prometheus/client_golang": "ambassador/internal/admin",
	"github.com/prometheus/client_model":  "ambassador/internal/admin",
}

// shipped are the modules that the binary may hold. Each was let in by a commit
// that says why.
var shipped = []string{
	"ambassador",
	"github.com/beorn7/perks",      // client_golang's, for summaries
	"github.com/cespare/xxhash/v2", // client_golang's
	"github.com/cenkalti/backoff/v5",
	"github.com/inconshreveable/mousetrap", // cobra's, on Windows
	"github.com/munnerz/goautoneg",         // client_golang's, for Accept headers
	"github.com/prometheus/client_golang",
	"github.com/prometheus/client_model", // client_golang's
	"github.com/prometheus/common",       // client_golang's
	"github.com/prometheus/procfs",       // client_golang's, for process metrics
	"github.com/spf13/cobra",
	"github.com/spf13/pflag",
	"go.uber.org/multierr", // zap's
	"go.uber.org/zap",
	"go.yaml.in/yaml/v3",
	"golang.org/x/crypto",
	"golang.org/x/sys",
	"golang.org/x/term",
	"golang.org/x/time",
	"google.golang.org/protobuf", // client_golang's: its metrics are made of it
}

func TestImportsGoOneWay(t *testing.T) {
	for _, p := range goList(t, "./...") {
		self := strings.TrimSuffix(p.ImportPath, "_test")
		for _, imported := range slices.Concat(p.Imports, p.TestImports, p.XTestImports) {
			inside := imported == "ambassador" || strings.HasPrefix(imported, "ambassador/")
			if inside && imported != self && !allowed(mayImport[p.ImportPath], imported) {
				t.Errorf("%s imports %s", p.ImportPath, imported)
			}
			for module, only := range onlyImporter {
				if (imported == module || strings.HasPrefix(imported, module+"/")) && p.ImportPath != only {
					t.Errorf("%s imports %s, which is for %s alone", p.ImportPath, imported, only)
				}
			}
		}
	}
}

func allowed(patterns []string, path string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		prefix, open := strings.CutSuffix(p, "...")
		return path == p || open && strings.HasPrefix(path, prefix)
	})
}

func TestShippedBinaryHoldsNoOtherModule(t *testing.T) {
	for _, p := range goList(t, "-deps", "./cmd/ambassador") {
		if !p.Standard && p.Module != nil && !slices.Contains(shipped, p.Module.Path) {
			t.Errorf("the shipped binary holds %s of module %s", p.ImportPath, p.Module.Path)
		}
	}
}

func TestEveryPackageSaysWhatItIs(t *testing.T) {
	for _, p := range goList(t, "./...") {
		if p.Doc == "" && p.ImportPath != "ambassador/integration" { // its comment stands in a test file
			t.Errorf("%s has no package comment", p.ImportPath)
		}
	}
}
