package integration

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// benchmark is a run of ./integration/bench, on an ambassador that goes by a name
// of its own, so that its processes can be told from others.
type benchmark struct {
	cmd        *exec.Cmd
	ambassador string
	tmp        string // where it makes its files

	stdout bytes.Buffer
	mu     sync.Mutex
	stderr bytes.Buffer
}

// buildBenchmark builds the program beside the ambassador under test.
var buildBenchmark = sync.OnceValues(func() (path string, err error) {
	path = filepath.Join(filepath.Dir(ambassador), "bench")
	args := []string{"build", "-o", path}
	if raceEnabled {
		args = append(args, "-race")
	}
	build := exec.Command("go", append(args, "./integration/bench")...)
	build.Dir = repository
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building bench: %w\n%s", err, out)
	}
	return path, nil
})

func startBenchmark(t *testing.T, args ...string) *benchmark {
	t.Helper()
	dir := t.TempDir()
	b := &benchmark{ambassador: filepath.Join(dir, "ambassador"), tmp: filepath.Join(dir, "tmp")}
	if err := os.Symlink(ambassador, b.ambassador); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(b.tmp, 0o700); err != nil {
		t.Fatal(err)
	}
	program, err := buildBenchmark()
	if err != nil {
		t.Fatal(err)
	}
	b.cmd = exec.Command(program, append([]string{"-ambassador", b.ambassador}, args...)...)
	b.cmd.Env = append(os.Environ(), "TMPDIR="+b.tmp)
	b.cmd.Stdout, b.cmd.Stderr = &b.stdout, b
	if err := b.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if b.cmd.ProcessState == nil {
			b.cmd.Process.Kill()
			b.cmd.Wait()
		}
	})
	return b
}

// Write takes standard error.
func (b *benchmark) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.stderr.Write(p)
}

func (b *benchmark) said() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.stderr.String()
}

// leavesNothing fails if the run left a file or a process.
func (b *benchmark) leavesNothing(t *testing.T) {
	t.Helper()
	if left, err := filepath.Glob(filepath.Join(b.tmp, "*")); err != nil || len(left) > 0 {
		t.Errorf("files are left: %v %v", left, err)
	}
	if left := b.processes(t); len(left) > 0 {
		t.Errorf("processes are left: %q", left)
	}
}

// processes are the command lines of the ambassadors that it runs.
func (b *benchmark) processes(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, f := range files {
		// A process that has ended meanwhile has no file.
		if line, err := os.ReadFile(f); err == nil && strings.HasPrefix(string(line), b.ambassador+"\x00") {
			all = append(all, strings.ReplaceAll(string(line), "\x00", " "))
		}
	}
	return all
}

func TestBenchMeasuresThePair(t *testing.T) {
	file := filepath.Join(t.TempDir(), "samples.json")
	b := startBenchmark(t, "-systems", "ambassador,direct", "-work", "up1", "-rounds", "2", "-scale", "0.05", "-json", file)
	if err := b.cmd.Wait(); err != nil {
		t.Fatalf("%v\n%s", err, b.said())
	}
	b.leavesNothing(t)
	for _, want := range []string{"| up1 | MB/s | more | ", "\n| ambassador | ", "\n| direct | "} {
		if !strings.Contains(b.stdout.String(), want) {
			t.Errorf("no %q in\n%s", want, b.stdout.String())
		}
	}
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var found struct {
		Samples []struct {
			Round        int
			Work, System string
			Values       map[string]float64
			CPU          *float64
		}
	}
	if err := json.Unmarshal(raw, &found); err != nil {
		t.Fatal(err)
	}
	if len(found.Samples) != 4 {
		t.Fatalf("%d samples, expected 2 rounds of 2 systems:\n%s", len(found.Samples), raw)
	}
	for _, s := range found.Samples {
		if s.Work != "up1" || s.Values["MB/s"] <= 0 {
			t.Errorf("no bytes in %+v", s)
		}
		if pair := s.System == "ambassador"; pair != (s.CPU != nil) || pair && *s.CPU <= 0 {
			t.Errorf("CPU time of the proxies in %+v", s)
		}
	}
}

func TestBenchEndsAllThatItStartedOnCtrlC(t *testing.T) {
	b := startBenchmark(t, "-systems", "ambassador", "-work", "down1", "-scale", "10")
	for over := time.Now().Add(patience); len(b.processes(t)) < 2; time.Sleep(time.Millisecond) {
		if time.Now().After(over) {
			t.Fatalf("it runs %q, expected a pair:\n%s", b.processes(t), b.said())
		}
	}
	if err := b.cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	late := time.AfterFunc(patience, func() { b.cmd.Process.Kill() })
	defer late.Stop()
	_ = b.cmd.Wait() // the exit code says it
	if code := b.cmd.ProcessState.ExitCode(); code != 1 || !strings.Contains(b.said(), "stopped in round 1 of 5") {
		t.Errorf("exit code %d, expected 1:\n%s", code, b.said())
	}
	b.leavesNothing(t)
}

func TestBenchRefusesWhatItDoesNotKnow(t *testing.T) {
	for _, c := range []struct {
		args []string
		says string
	}{
		{[]string{"-work", "up1,lift"}, `-work: there is no "lift": expected some of `},
		{[]string{"-systems", "pigeon"}, `-systems: there is no "pigeon": expected some of `},
		{[]string{"-base", "/nonexistent/ambassador"}, "-base: there is no program /nonexistent/ambassador"},
		{[]string{"-work", "clients", "-systems", "direct"}, "-work: clients: "},
		{[]string{"-rounds", "0"}, "-rounds 0: expected 1 or more"},
		{[]string{"-scale", "0"}, "-scale 0: expected a factor above 0"},
		{[]string{"up1"}, `unexpected "up1"`},
	} {
		b := startBenchmark(t, c.args...)
		_ = b.cmd.Wait() // the exit code says it
		if code := b.cmd.ProcessState.ExitCode(); code != 2 || !strings.Contains(b.said(), c.says) {
			t.Errorf("%q: exit code %d, expected 2 and %q:\n%s", c.args, code, c.says, b.said())
		}
		b.leavesNothing(t)
	}
}
