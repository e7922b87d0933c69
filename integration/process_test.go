package integration

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// patience bounds every wait for an event that has to come.
const patience = 20 * time.Second

// process is one running ambassador.
type process struct {
	t    *testing.T
	cmd  *exec.Cmd
	done chan struct{}
	err  error // of the process; after done

	mu    sync.Mutex
	lines []string
	more  chan struct{} // closed and replaced with each line
}

// logLine is one line of the JSON log.
type logLine map[string]any

// run starts ambassador with nothing of the caller's environment but PATH, and
// ends it with the test.
func run(t *testing.T, env []string, args ...string) *process {
	t.Helper()
	return begin(t, exec.Command(ambassador, args...), env)
}

// runWith is run with a standard input.
func runWith(t *testing.T, env []string, stdin io.Reader, args ...string) *process {
	t.Helper()
	cmd := exec.Command(ambassador, args...)
	cmd.Stdin = stdin
	return begin(t, cmd, env)
}

// begin is run for a command that leads to ambassador.
func begin(t *testing.T, cmd *exec.Cmd, env []string) *process {
	t.Helper()
	args := cmd.Args[1:]
	p := &process{t: t, cmd: cmd, done: make(chan struct{}), more: make(chan struct{})}
	p.cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "AMBASSADOR_LOG_LEVEL=debug"}, env...)
	stderr, err := p.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go p.read(stderr)
	t.Cleanup(func() {
		p.cmd.Process.Kill()
		<-p.done
		if t.Failed() {
			t.Logf("ambassador %s:\n%s", strings.Join(args, " "), p.log())
		}
		if strings.Contains(p.log(), "DATA RACE") {
			t.Errorf("ambassador %s: data race:\n%s", strings.Join(args, " "), p.log())
		}
	})
	return p
}

func (p *process) read(stderr io.Reader) {
	defer close(p.done)
	lines := bufio.NewScanner(stderr)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		p.mu.Lock()
		p.lines = append(p.lines, lines.Text())
		close(p.more)
		p.more = make(chan struct{})
		p.mu.Unlock()
	}
	p.err = p.cmd.Wait()
}

func (p *process) log() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Join(p.lines, "\n")
}

// waitLog waits for a line of the log that has the message and all the fields'
// values in it.
func (p *process) waitLog(msg string, parts ...string) logLine {
	p.t.Helper()
	l, err := p.findLog(patience, msg, parts...)
	if err != nil {
		p.t.Fatal(err)
	}
	return l
}

func (p *process) findLog(limit time.Duration, msg string, parts ...string) (logLine, error) {
	over := time.NewTimer(limit)
	defer over.Stop()
	for seen := 0; ; {
		p.mu.Lock()
		lines, more := p.lines[seen:], p.more
		seen = len(p.lines)
		p.mu.Unlock()
		for _, text := range lines {
			if l, ok := match(text, msg, parts); ok {
				return l, nil
			}
		}
		select {
		case <-more:
		case <-over.C:
			return nil, fmt.Errorf("no log line %q with %q within %v", msg, parts, limit)
		case <-p.done:
			return nil, fmt.Errorf("ended (%v) without a log line %q with %q", p.err, msg, parts)
		}
	}
}

func match(text, msg string, parts []string) (logLine, bool) {
	for _, part := range parts {
		if !strings.Contains(text, part) {
			return nil, false
		}
	}
	var l logLine
	if json.Unmarshal([]byte(text), &l) != nil || l["msg"] != msg {
		return nil, false
	}
	return l, true
}

// exit waits for the process to end by itself and returns its exit code.
func (p *process) exit() int {
	p.t.Helper()
	select {
	case <-p.done:
	case <-time.After(patience):
		p.t.Fatalf("still running after %v", patience)
	}
	var e *exec.ExitError
	if p.err != nil && !errors.As(p.err, &e) {
		p.t.Fatal(p.err)
	}
	return p.cmd.ProcessState.ExitCode()
}

// once runs ambassador to its end.
func once(t *testing.T, env []string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, ambassador, args...)
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir()}, env...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var e *exec.ExitError
	if ctx.Err() != nil || err != nil && !errors.As(err, &e) {
		t.Fatalf("ambassador %s: %v %v\n%s", strings.Join(args, " "), err, ctx.Err(), errs.String())
	}
	return cmd.ProcessState.ExitCode(), out.String(), errs.String()
}

// givenPorts are those that freePort has given, by number.
var givenPorts sync.Map

// freePort is a local port that nobody listens on at the moment, and never the
// same twice. It is below 32768, where Linux begins to take the local ports of
// outgoing connections (ip_local_port_range, ip(7)): another process does not
// get it by chance before it is used.
func freePort(t *testing.T) string {
	t.Helper()
	for range 1000 {
		port := strconv.Itoa(20000 + rand.IntN(12000))
		if _, given := givenPorts.LoadOrStore(port, true); given {
			continue
		}
		if l, err := net.Listen("tcp", "127.0.0.1:"+port); err == nil {
			l.Close()
			return port
		}
	}
	t.Fatal("no free port")
	return ""
}
