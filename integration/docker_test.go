package integration

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestDocker is everything that needs a real Docker Engine. Its parts share one
// image, built once from the Dockerfile as a user builds it.
//
// Without Docker, or without the images that the Dockerfile and the tests start
// from, it is skipped and says why; with AMBASSADOR_REQUIRE=docker it fails.
func TestDocker(t *testing.T) {
	if testing.Short() {
		t.Skip("builds images and starts containers: not in -short")
	}
	e := newEngine(t)
	e.image = e.run + "/classic"
	e.build(t, e.docker, "0", e.image)

	t.Run("image", func(t *testing.T) { testDockerImage(t, e) })
	t.Run("seed-walk-through", func(t *testing.T) { testDockerSeed(t, e) })
	t.Run("two-tiers-on-two-networks", func(t *testing.T) { testDockerPair(t, e) })
	t.Run("compose", func(t *testing.T) { testDockerCompose(t, e) })
}

// Long enough for a busy machine with two cores; nothing waits this long unless
// it is broken.
const dockerTimeout = 60 * time.Second

// engine is the Docker Engine under test. Whatever is made with it bears a name
// that starts with run, so that two runs do not meet, and goes when the test
// that made it ends.
type engine struct {
	docker string // path of the docker command
	run    string // unique for this run
	image  string // the ambassador's image
}

func newEngine(t *testing.T) *engine {
	t.Helper()
	unavailable := t.Skipf
	if required("docker") {
		unavailable = t.Fatalf
	}
	path, err := exec.LookPath("docker")
	if err != nil {
		unavailable("no Docker here: %v", err)
	}
	e := &engine{docker: path, run: "ambassador-test-" + strings.ToLower(rand.Text()[:8])}
	if r := e.try(t, "version", "--format", "{{.Server.Version}}"); r.err != nil {
		unavailable("the Docker Engine does not answer: %s", r)
	}
	for _, image := range []string{"golang:1.26", "redis:7", "busybox"} {
		if r := e.try(t, "image", "inspect", "--format", "{{.Id}}", image); r.err != nil {
			unavailable("no image %s here: run \"docker pull %s\", or, with no registry in reach, integration/images/make", image, image)
		}
	}
	return e
}

// required says that a missing part is a failure here: AMBASSADOR_REQUIRE lists
// the parts, with commas between them.
func required(part string) bool {
	return slices.Contains(strings.Split(os.Getenv("AMBASSADOR_REQUIRE"), ","), part)
}

// result is how one command ended.
type result struct {
	command string
	stdout  string // without the last line end
	stderr  string
	code    int
	err     error
}

func (r result) String() string {
	return fmt.Sprintf("%s: %v\nstdout: %s\nstderr: %s", r.command, r.err, r.stdout, r.stderr)
}

// command runs a program to its end, or for dockerTimeout.
func command(env []string, name string, args ...string) result {
	// Not the test's own context: clean-up runs after that one is cancelled.
	ctx, cancel := context.WithTimeout(context.Background(), dockerTimeout)
	defer cancel()
	return commandContext(ctx, env, name, args...)
}

func commandContext(ctx context.Context, env []string, name string, args ...string) result {
	var stdout, stderr bytes.Buffer
	c := exec.CommandContext(ctx, name, args...)
	c.Env = append(os.Environ(), env...)
	c.Dir = repository
	c.Stdout, c.Stderr = &stdout, &stderr
	// A child that outlives docker must not keep the pipes and with them Wait.
	c.WaitDelay = 5 * time.Second
	err := c.Run()
	if ctx.Err() != nil {
		err = fmt.Errorf("stopped: %w (%w)", ctx.Err(), err)
	}
	return result{
		command: filepath.Base(name) + " " + strings.Join(args, " "),
		stdout:  strings.TrimRight(stdout.String(), "\r\n"),
		stderr:  strings.TrimRight(stderr.String(), "\r\n"),
		code:    c.ProcessState.ExitCode(),
		err:     err,
	}
}

// repository is the root of the project, where Dockerfile and docker-compose.yml
// are: tests run in their package's folder.
const repository = ".."

// try runs docker and leaves the judgement to the caller.
func (e *engine) try(t *testing.T, args ...string) result {
	t.Helper()
	return command(nil, e.docker, args...)
}

// do runs docker, which has to succeed, and returns its standard output.
func (e *engine) do(t *testing.T, args ...string) string {
	t.Helper()
	r := e.try(t, args...)
	if r.err != nil {
		t.Fatal(r)
	}
	return r.stdout
}

// name makes a name of this run and this test out of a short one.
func (e *engine) name(t *testing.T, short string) string {
	test := strings.NewReplacer("/", "-", "_", "-").Replace(strings.TrimPrefix(t.Name(), "TestDocker/"))
	return strings.ToLower(e.run + "-" + test + "-" + short)
}

// build builds the Dockerfile with the builder that DOCKER_BUILDKIT names.
// The layers that the builders keep are their cache and stay: they make the
// next build quick.
func (e *engine) build(t *testing.T, docker, buildkit, tag string, args ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*dockerTimeout)
	defer cancel()
	args = append(append([]string{"build", "--tag", tag}, args...), ".")
	start := time.Now()
	r := commandContext(ctx, []string{"DOCKER_BUILDKIT=" + buildkit}, docker, args...)
	if r.err != nil {
		t.Fatal(r)
	}
	t.Logf("DOCKER_BUILDKIT=%s docker build: %.1fs", buildkit, time.Since(start).Seconds())
	t.Cleanup(func() { e.try(t, "image", "rm", tag) })
}

// start starts a container and returns its name. When the test fails, its log
// is printed before it goes.
func (e *engine) start(t *testing.T, short string, args ...string) string {
	t.Helper()
	name := e.create(t, short, args...)
	e.do(t, "start", name)
	return name
}

func (e *engine) create(t *testing.T, short string, args ...string) string {
	t.Helper()
	name := e.name(t, short)
	// A killed run leaves its containers: "docker ps --filter
	// label=ambassador.test" finds them.
	e.do(t, append([]string{"create", "--name", name, "--label", "ambassador.test=" + e.run}, args...)...)
	t.Cleanup(func() {
		if t.Failed() {
			r := e.try(t, "logs", "--timestamps", "--tail", "50", name)
			t.Logf("log of %s:\n%s\n%s", name, r.stdout, r.stderr)
		}
		e.try(t, "rm", "--force", "--volumes", name)
	})
	return name
}

// redis starts a Redis and returns the container's name once it accepts.
func (e *engine) redis(t *testing.T, short string, args ...string) string {
	t.Helper()
	name := e.start(t, short, append(args, "redis:7")...)
	e.waitLog(t, name, "Ready to accept connections")
	return name
}

// waitLog returns when the container's log has a line with text in it.
func (e *engine) waitLog(t *testing.T, container, text string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), dockerTimeout)
	defer cancel()
	c := exec.CommandContext(ctx, e.docker, "logs", "--follow", container)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	c.Stdout, c.Stderr = w, w
	err = c.Start()
	w.Close()
	if err != nil {
		t.Fatal(err)
	}
	found := false
	for s := bufio.NewScanner(r); !found && s.Scan(); {
		found = strings.Contains(s.Text(), text)
	}
	cancel()
	_ = c.Wait() // killed: the error says only that
	if !found {
		t.Fatalf("%s: its log ended, or %v passed, without %q", container, dockerTimeout, text)
	}
}

func (e *engine) network(t *testing.T, short string, args ...string) string {
	t.Helper()
	name := e.name(t, short)
	e.do(t, append(append([]string{"network", "create"}, args...), name)...)
	t.Cleanup(func() { e.try(t, "network", "rm", name) })
	return name
}

func (e *engine) volume(t *testing.T, short string) string {
	t.Helper()
	name := e.name(t, short)
	e.do(t, "volume", "create", name)
	t.Cleanup(func() { e.try(t, "volume", "rm", name) })
	return name
}

// address is the container's address in the network.
func (e *engine) address(t *testing.T, container, network string) string {
	t.Helper()
	return e.do(t, "inspect", "--format",
		fmt.Sprintf("{{(index .NetworkSettings.Networks %q).IPAddress}}", network), container)
}

// squat takes an address that has just become free, so that whoever had it
// returns with another one.
func (e *engine) squat(t *testing.T, network, address string) {
	t.Helper()
	// Docker gives out the lowest free address, and others may be free below.
	for i := range 10 {
		s := e.start(t, fmt.Sprintf("squatter-%d", i), "--network", network, "busybox", "sleep", "3600")
		if e.address(t, s, network) == address {
			return
		}
	}
	t.Fatalf("%s does not give out %s again: the test shows nothing", network, address)
}

// published is the address on this machine behind which the container's port is.
func (e *engine) published(t *testing.T, container, port string) string {
	t.Helper()
	out := e.do(t, "port", container, port)
	first, _, _ := strings.Cut(out, "\n")
	return first
}

// ping asks the Redis behind addr, reached from this machine, once.
func ping(addr string, timeout time.Duration) error {
	c, err := net.DialTimeout("tcp", addr, timeout)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(timeout)); err != nil {
		return err
	}
	if _, err := c.Write([]byte("PING\r\n")); err != nil {
		return err
	}
	reply, err := bufio.NewReader(c).ReadString('\n')
	if err != nil {
		return err
	}
	if reply != "+PONG\r\n" {
		return fmt.Errorf("reply %q, want +PONG", reply)
	}
	return nil
}

// pong waits until the Redis behind addr answers.
func pong(t *testing.T, addr string) {
	t.Helper()
	eventually(t, dockerTimeout, func() error { return ping(addr, 5*time.Second) })
}

// redisCLI runs redis-cli in a running container, for up to limit.
func (e *engine) redisCLI(t *testing.T, limit time.Duration, container string, args ...string) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	// The timeout inside ends redis-cli itself: docker exec leaves it behind.
	seconds := fmt.Sprint(int(limit/time.Second) + 1)
	r := commandContext(ctx, nil, e.docker, append([]string{"exec", container, "timeout", seconds, "redis-cli"}, args...)...)
	if r.err != nil {
		return errors.New(r.String())
	}
	if !strings.HasPrefix(r.stdout, "PONG") && !strings.HasPrefix(r.stdout, "OK") {
		return fmt.Errorf("redis-cli answered %q %q", r.stdout, r.stderr)
	}
	return nil
}

// eventually tries until check has no complaint, and fails the test with the
// last one when limit is over. The pause only keeps refusals from spinning.
func eventually(t *testing.T, limit time.Duration, check func() error) time.Duration {
	t.Helper()
	start := time.Now()
	over := time.NewTimer(limit)
	defer over.Stop()
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for {
		err := check()
		if err == nil {
			return time.Since(start)
		}
		select {
		case <-over.C:
			t.Fatalf("still not after %v: %v", limit, err)
		case <-again.C:
		}
	}
}
