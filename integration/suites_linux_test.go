package integration

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The test suites of others, run through the pair: they know what their service's
// clients may rely on. docs/testing.md says how to get them.

// TestRedisOwnSuite runs redis's own test suite against one server, directly and
// through the pair: what fails through the pair fails directly too.
//
//	AMBASSADOR_REDIS_SUITE=DIR    redis's source of the version that is installed; unset, this is skipped
//	AMBASSADOR_REDIS_UNITS=unit/type/list   those units alone
func TestRedisOwnSuite(t *testing.T) {
	source := os.Getenv("AMBASSADOR_REDIS_SUITE")
	if source == "" {
		t.Skip("AMBASSADOR_REDIS_SUITE names no source of redis")
	}
	needPrograms(t, "redis-server", "redis-cli", "redis-benchmark", "tclsh")
	for _, program := range []string{"redis-server", "redis-cli", "redis-benchmark"} {
		path, _ := exec.LookPath(program)
		if err := os.Symlink(path, filepath.Join(source, "src", program)); err != nil && !errors.Is(err, os.ErrExist) {
			t.Fatal(err)
		}
	}
	direct := startSuiteRedis(t)
	want := runRedisSuite(t, source, direct)
	behind := startSuiteRedis(t)
	p := startPair(t, behind, pairOptions{})
	got := runRedisSuite(t, source, p.entry)
	t.Logf("directly %d ok and %d not; through the pair %d ok and %d not", len(want.ok), len(want.failed), len(got.ok), len(got.failed))
	for _, test := range want.failed {
		t.Log("fails directly: ", test)
	}
	for _, test := range got.failed {
		if !slices.Contains(want.failed, test) {
			t.Error("fails through the pair alone: ", test)
		}
	}
	if len(got.ok) < 100 && os.Getenv("AMBASSADOR_REDIS_UNITS") == "" || len(got.ok) == 0 {
		t.Errorf("%d tests are not the suite", len(got.ok))
	}
}

// startSuiteRedis is a Redis that lets its tests do what they want to.
func startSuiteRedis(t *testing.T) (addr string) {
	t.Helper()
	port := freePort(t)
	cmd := exec.Command("redis-server", "--port", port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no",
		"--enable-protected-configs", "yes", "--enable-debug-command", "yes", "--enable-module-command", "yes")
	cmd.Dir = t.TempDir()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGKILL)
		cmd.Wait()
	})
	addr = "127.0.0.1:" + port
	eventually(t, patience, func() error { return ping(addr, time.Second) })
	return addr
}

// suiteResult are the names of tests.
type suiteResult struct{ ok, failed []string }

var (
	suiteOK     = regexp.MustCompile(`\[ok\]: (.*?)(?: \(\d+ ms\))?$`)
	suiteFailed = regexp.MustCompile(`\[(?:err|exception)\]: (.*)$`)
	suiteColour = regexp.MustCompile("\x1b\\[[0-9;]*m")
	suiteTime   = regexp.MustCompile(`(?i)[0-9]+(?:\.[0-9]+)?`)
)

func runRedisSuite(t *testing.T, source, addr string) suiteResult {
	t.Helper()
	host, port, _ := net.SplitHostPort(addr)
	args := []string{"--host", host, "--port", port, "--tags", "-slow"}
	for _, unit := range strings.Fields(os.Getenv("AMBASSADOR_REDIS_UNITS")) {
		args = append(args, "--single", unit)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "./runtest", args...)
	cmd.Dir = source
	// It leaves children behind when it is ended: all of them are one group.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	began := time.Now()
	out, err := cmd.CombinedOutput()
	var r suiteResult
	for line := range strings.Lines(suiteColour.ReplaceAllString(string(out), "")) {
		line = strings.TrimSpace(line)
		if m := suiteOK.FindStringSubmatch(line); m != nil {
			r.ok = append(r.ok, m[1])
		} else if m := suiteFailed.FindStringSubmatch(line); m != nil {
			// Its text holds figures of the run.
			r.failed = append(r.failed, suiteTime.ReplaceAllString(m[1], "N"))
		}
	}
	t.Logf("%s: %d ok, %d not, in %v (%v)", addr, len(r.ok), len(r.failed), time.Since(began).Round(time.Second), err)
	if len(r.ok) == 0 || err != nil && len(r.failed) == 0 {
		t.Fatalf("%v:\n%s", err, out)
	}
	return r
}

// TestPgbench runs PostgreSQL's own load through the pair: not one transaction fails.
//
//	AMBASSADOR_PGBENCH=20s   how long each; if unset, 2 s
func TestPgbench(t *testing.T) {
	for _, program := range []string{"pgbench", "initdb", "postgres"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skip("needs PostgreSQL (Debian's postgresql and postgresql-contrib): ", err)
		}
	}
	length := 2 * time.Second
	if text := os.Getenv("AMBASSADOR_PGBENCH"); text != "" {
		d, err := time.ParseDuration(text)
		if err != nil || d < time.Second {
			t.Fatalf("AMBASSADOR_PGBENCH=%q: expected a duration such as 20s", text)
		}
		length = d
	}
	direct := startPostgres(t)
	p := startPair(t, direct, pairOptions{})
	pgbench(t, p.entry, "-i", "-q", "-s", "5")
	for _, kind := range []struct {
		name string
		args []string
	}{{"read and write", nil}, {"select", []string{"-S"}}, {"select, prepared", []string{"-S", "-M", "prepared"}}, {"a connection each", []string{"-S", "-C"}}} {
		for _, way := range []struct{ name, addr string }{{"directly", direct}, {"through the pair", p.entry}} {
			out := pgbench(t, way.addr, append([]string{"-n", "-c", "20", "-j", "2", "-T", strconv.Itoa(int(length.Seconds()))}, kind.args...)...)
			tps := pgbenchRate.FindStringSubmatch(out)
			if tps == nil {
				t.Fatalf("%s, %s:\n%s", kind.name, way.name, out)
			}
			t.Logf("%s, %s: %s transactions a second", kind.name, way.name, tps[1])
			if m := pgbenchFailed.FindStringSubmatch(out); m == nil || m[1] != "0" || strings.Contains(out, "aborted") {
				t.Errorf("%s, %s: not every transaction went well:\n%s", kind.name, way.name, out)
			}
		}
	}
}

var (
	pgbenchRate   = regexp.MustCompile(`(?m)^tps = ([\d.]+)`)
	pgbenchFailed = regexp.MustCompile(`(?m)^number of failed transactions: (\d+)`)
)

func pgbench(t *testing.T, addr string, args ...string) string {
	t.Helper()
	host, port, _ := net.SplitHostPort(addr)
	out, err := exec.Command("pgbench", append([]string{"-h", host, "-p", port, "-U", "tester"}, append(args, "postgres")...)...).CombinedOutput()
	if err != nil {
		t.Errorf("pgbench %v: %v\n%s", args, err, out)
	}
	return string(out)
}

// startPostgres is a PostgreSQL of this test's own, which runs as nobody where the
// test is root's: it refuses to be root's.
func startPostgres(t *testing.T) (addr string) {
	t.Helper()
	home, err := os.MkdirTemp("", "ambassador-postgres-") // the test's own is closed to others
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(home) })
	as := &syscall.SysProcAttr{}
	if os.Geteuid() == 0 {
		as.Credential = &syscall.Credential{Uid: nobody, Gid: nobody}
		if err := os.Chown(home, nobody, nobody); err != nil {
			t.Fatal(err)
		}
	}
	initdb := exec.Command("initdb", "-D", home+"/data", "-U", "tester", "-A", "trust", "--no-locale", "-E", "UTF8", "--no-sync")
	initdb.SysProcAttr, initdb.Dir = as, home
	if out, err := initdb.CombinedOutput(); err != nil {
		t.Fatalf("initdb: %v\n%s", err, out)
	}
	port := freePort(t)
	server := exec.Command("postgres", "-D", home+"/data", "-p", port, "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=",
		"-c", "max_connections=200", "-c", "fsync=off", "-c", "autovacuum=off")
	server.SysProcAttr, server.Dir = as, home
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		server.Process.Signal(syscall.SIGINT) // killed, it would leave its shared memory behind
		server.Wait()
	})
	addr = "127.0.0.1:" + port
	eventually(t, patience, func() error {
		out, err := exec.Command("psql", "-h", "127.0.0.1", "-p", port, "-U", "tester", "-c", "select 1", "postgres").CombinedOutput()
		if err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	})
	return addr
}
