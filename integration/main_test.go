// Package integration tests the real binary end to end: against real Redis, on
// the real Docker Engine, and with real faults. main_test.go builds the binary,
// process_test.go runs it, pair_test.go joins two of them.
package integration

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"
)

// ambassador is the path of the binary under test, built for this run with the
// race detector if the tests have it.
var ambassador string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "ambassador-integration-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	ambassador = filepath.Join(dir, "ambassador")
	args := []string{"build", "-o", ambassador}
	if raceEnabled {
		args = append(args, "-race")
	}
	build := exec.Command("go", append(args, "./cmd/ambassador")...)
	build.Dir = repository
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "building ambassador: %v\n%s", err, out)
		os.Exit(1)
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		os.RemoveAll(dir)
		os.Exit(code)
	}))
}
