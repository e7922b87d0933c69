//go:build unix

package integration

import (
	"bufio"
	"bytes"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"ambassador/internal/link"
)

// The README is a promise, and these tests hold it to that: every command line
// in its fenced blocks is run, here or by the test that runBy names.
//
// A block is "sh", or "console" with "$ " before a command and its output below.
// A word after that names the host it is for: the blocks of a section that name
// hosts are run in their order on two fresh hosts. The others are run line by
// line in the repository.

// runBy lists the lines that other tests run: the file, and what shows there
// that it is done.
var runBy = map[string]struct{ file, shows string }{
	// They start this test.
	"go test ./...": {"integration/readme_test.go", "func TestReadme"},
	"AMBASSADOR_REQUIRE=docker,redis,chromium go test -race ./...": {".ci/run", "AMBASSADOR_REQUIRE=docker,redis,chromium go test -race"},
	".ci/run": {".ci/run", `step "integration tests" integration_tests`},
	// They need a Docker Engine.
	"docker build -t ambassador .":                             {"integration/docker_image_test.go", `t.Run("classic-builder"`},
	"docker compose up":                                        {"integration/docker_compose_test.go", `c.compose(t, "up"`},
	"docker compose run --rm consumer":                         {"integration/docker_compose_test.go", `c.compose(t, "run", "--rm", "-T", "consumer")`},
	"docker compose down --volumes --rmi local":                {"integration/docker_compose_test.go", `c.compose(t, "down", "--volumes", "--rmi", "local"`},
	"docker run -d --link redis:redis -p 6379:6379 ambassador": {"integration/docker_seed_test.go", `t.Run("link-variables-reach-the-service"`},

	"docker run -d -e REDIS_PORT_6379_TCP=tcp://192.168.1.52:6379 -p 6379:6379 ambassador":            {"integration/docker_seed_test.go", `t.Run("variable-written-by-hand"`},
	"docker run -d -p 6379:6379 ambassador 192.168.1.52 6379":                                         {"integration/docker_seed_test.go", `t.Run("host-and-port-as-arguments"`},
	"docker run -d --network backend -e REDIS_PORT_6379_TCP=tcp://redis:6379 -p 6379:6379 ambassador": {"integration/docker_seed_test.go", `t.Run("variable-with-a-host-name"`},
}

// ready is what a command says that runs until it is ended: on the hosts a
// message of the log, in the repository a word on standard output.
var ready = map[string]string{
	"ambassador serve":   "serving",
	"ambassador connect": "connected to the provider",
	"go run ./cmd/demo":  "Ctrl-C ends it",
}

// block is one fenced block with commands.
type block struct {
	section  string   // the heading above it
	host     string   // empty for the repository
	commands []string // as written
	output   string   // that a console block shows below its last command
}

func readme(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(repository, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// blocks finds the blocks with commands, and refuses what it would not run.
func blocks(t *testing.T, text string) []block {
	t.Helper()
	var all []block
	var b *block // the one that the line is in
	var section, kind string
	for n, line := range strings.Split(text, "\n") {
		info, fence := strings.CutPrefix(line, "```")
		switch {
		case fence && kind != "": // it ends
			if b != nil {
				all = append(all, *b)
			}
			b, kind = nil, ""
		case fence:
			words := append(strings.Fields(info), "", "")
			kind = words[0]
			switch kind {
			case "sh", "console":
				b = &block{section: section, host: words[1]}
			case "":
				kind = "picture"
			default:
				t.Errorf("README.md:%d: a block of %q: only sh and console are run", n+1, kind)
			}
		case kind == "" && strings.HasPrefix(line, "#"):
			section = strings.TrimLeft(line, "# ")
		case kind == "console":
			if command, is := strings.CutPrefix(line, "$ "); is {
				b.commands, b.output = append(b.commands, command), ""
			} else {
				b.output += line + "\n"
			}
		case kind == "sh" && strings.TrimSpace(line) != "":
			b.commands = append(b.commands, line)
		}
	}
	if kind != "" {
		t.Fatal("README.md: the last block does not end")
	}
	if len(all) == 0 {
		t.Fatal("README.md has no block with commands")
	}
	return all
}

var shellComment = regexp.MustCompile(`(^|\s+)#.*$`)

// bare is a command line without the comment behind it.
func bare(line string) string { return strings.TrimSpace(shellComment.ReplaceAllString(line, "")) }

// stays says what a command will say once it is up, if it does not end.
func stays(line string) string {
	for prefix, says := range ready {
		if rest, is := strings.CutPrefix(bare(line), prefix); is && !strings.Contains(rest, "--help") {
			return says
		}
	}
	return ""
}

func TestReadmeCommandsInTheRepository(t *testing.T) {
	listed := map[string]bool{}
	bin := t.TempDir()
	for _, b := range blocks(t, readme(t)) {
		if b.host != "" {
			continue
		}
		for _, line := range b.commands {
			command := bare(line)
			if by, is := runBy[command]; is {
				listed[command] = true
				holds(t, by.file, by.shows)
				continue
			}
			t.Run(command, func(t *testing.T) { inRepository(t, bin, line) })
		}
	}
	for command := range runBy {
		if !listed[command] {
			t.Errorf("runBy lists %q, which is not on the README", command)
		}
	}
	for _, program := range []string{"installed/ambassador", "built"} {
		if r := command(nil, filepath.Join(bin, program), "version"); r.err != nil || !strings.HasPrefix(r.stdout, "ambassador ") {
			t.Errorf("the README makes no program that works: %s", r)
		}
	}
}

// holds checks that a test which runs a line is still there.
func holds(t *testing.T, file, text string) {
	t.Helper()
	all, err := os.ReadFile(filepath.Join(repository, file))
	if err != nil || !strings.Contains(string(all), text) {
		t.Errorf("%s has no %q, which is to show that it runs a line of the README: %v", file, text, err)
	}
}

// inRepository runs one line there. What it makes goes to bin.
func inRepository(t *testing.T, bin, line string) {
	if !strings.HasPrefix(bare(line), "go ") && !strings.Contains(line, " go ") {
		t.Fatalf("nothing runs %q: run it here, or list the test that does in runBy", bare(line))
	}
	cmd := exec.Command("sh", "-ec", line)
	cmd.Dir = repository
	// "go build" would write the program into the repository; others have no -o.
	cmd.Env = append(os.Environ(), "GOBIN="+filepath.Join(bin, "installed"), "GOFLAGS=-o="+filepath.Join(bin, "built"))
	// A group of its own, which gets Ctrl-C as from a terminal: "go run" leaves
	// that to the program it runs.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	over := time.AfterFunc(5*dockerTimeout, func() { syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) })
	defer over.Stop()
	says, said := stays(line), ""
	for lines := bufio.NewScanner(stdout); lines.Scan(); {
		said += lines.Text() + "\n"
		if says != "" && strings.Contains(lines.Text(), says) {
			syscall.Kill(-cmd.Process.Pid, syscall.SIGINT)
		}
	}
	err = cmd.Wait()
	if says != "" && stderr.Len() == 0 {
		err = nil // after Ctrl-C, "go run" exits with 1 where its program exits with 0
	}
	if err != nil || !strings.Contains(said, says) {
		t.Fatalf("%s: %v\nstdout: %s\nstderr: %s", line, err, said, stderr.String())
	}
	if strings.Contains(line, "cmd/demo") && !regexp.MustCompile(`> PING +PONG\n`).MatchString(said) {
		t.Errorf("the demo shows no PONG:\n%s", said)
	}
}

// demoOnce is what the README says in passing.
const demoOnce = "go run ./cmd/demo --once"

func TestReadmeDemoEnds(t *testing.T) {
	if !strings.Contains(readme(t), "`"+demoOnce+"`") {
		t.Errorf("the README does not say %q any more", demoOnce)
	}
	r := command(nil, "sh", "-ec", demoOnce)
	if r.err != nil || !strings.Contains(r.stdout, "PONG") || !strings.Contains(r.stdout, "TLS 1.3") {
		t.Fatal(r)
	}
}

// TestReadmeCommandsOnTwoHosts runs the quick start, and whatever else is for a
// host, as it is written.
func TestReadmeCommandsOnTwoHosts(t *testing.T) {
	var sections []string
	bySection := map[string][]block{}
	for _, b := range blocks(t, readme(t)) {
		if b.host == "" {
			continue
		}
		if len(bySection[b.section]) == 0 {
			sections = append(sections, b.section)
		}
		bySection[b.section] = append(bySection[b.section], b)
	}
	if len(sections) == 0 {
		t.Fatal("no block of the README names its host")
	}
	for _, s := range sections {
		t.Run(s, func(t *testing.T) { walk(t, bySection[s]) })
	}
}

func walk(t *testing.T, blocks []block) {
	startRedis(t).stop() // skips or fails where there is none
	h := startHosts(t, "big-server", "client-server", map[string]string{"big-server": "redis"})
	h.equip(t)
	h.redis(t, "big-server")
	if r := h.do("client-server", "redis-cli ping"); r.err == nil {
		t.Fatalf("client-server has a Redis already: the test shows nothing: %s", r)
	}
	pong, token := false, ""
	for _, b := range blocks {
		if h.netns[b.host] == "" {
			t.Fatalf("%q is no host of the README: expected one of %v", b.host, h.names)
		}
		// The reader pastes what was printed on the other host.
		script := strings.ReplaceAll(strings.Join(b.commands, "\n"), "TOKEN", token)
		t.Logf("%s$ %s", b.host, strings.ReplaceAll(script, "\n", "\n\t"))
		if says := stays(b.commands[len(b.commands)-1]); says != "" {
			h.begin(t, b.host, script).waitLog(says)
			continue
		}
		r := h.do(b.host, script)
		if r.err != nil {
			t.Fatal(r)
		}
		if printed := printedToken.FindString(r.stdout); printed != "" {
			token = printed
		}
		if want := strings.TrimSpace(b.output); want != "" && r.stdout != want {
			t.Fatalf("%s: prints %q, the README shows %q", r.command, r.stdout, want)
		}
		pong = pong || b.host == "client-server" && r.stdout == "PONG"
	}
	if !pong {
		t.Error("the section does not end in a PONG on client-server")
	}
}

var (
	mdLink = regexp.MustCompile(`\]\(([^)#]*)(#[^)]*)?\)`)
	mdCode = regexp.MustCompile("`([^`\n]+)`")
	mdPath = regexp.MustCompile(`^[.\w][\w./-]*(/|\.(go|md|yml))$`)
)

// TestReadmeNamesWhatExists holds the words in the text: files, flags and the
// two grammars.
func TestReadmeNamesWhatExists(t *testing.T) {
	changelog, err := os.ReadFile(filepath.Join(repository, "CHANGELOG.md"))
	if err != nil {
		t.Fatal(err)
	}
	text := readme(t) + string(changelog)
	for _, m := range mdLink.FindAllStringSubmatch(text, -1) {
		if m[1] != "" && !strings.Contains(m[1], "://") {
			exists(t, m[1])
		}
		if m[2] != "" && !hasHeading(text, m[2][1:]) {
			t.Errorf("no heading for the link to %s", m[2])
		}
	}
	help := helpOfAll(t)
	for _, m := range mdCode.FindAllStringSubmatch(text, -1) {
		code := m[1]
		words := strings.Fields(code)
		switch {
		case code == demoOnce:
			continue
		case mdPath.MatchString(code):
			exists(t, code)
		case words[0] == "--link" && len(words) == 2:
			if _, err := link.ParseSpec(words[1]); err != nil {
				t.Error(err)
			}
		case words[0] == "--expose" && len(words) == 2:
			if _, err := link.ParseExpose(words[1]); err != nil {
				t.Error(err)
			}
		}
		for _, w := range words {
			if strings.HasPrefix(w, "--") && !regexp.MustCompile(regexp.QuoteMeta(w)+`\b`).MatchString(help) {
				t.Errorf("`%s`: no command has a flag %s", code, w)
			}
		}
		if words[0] == "ambassador" && len(words) > 1 && !strings.Contains(help, "\n  "+words[1]+" ") {
			t.Errorf("`%s`: there is no such command", code)
		}
	}
}

func exists(t *testing.T, path string) {
	t.Helper()
	if _, err := os.Stat(filepath.Join(repository, path)); errors.Is(err, fs.ErrNotExist) {
		t.Errorf("README.md or CHANGELOG.md names %s, which does not exist", path)
	} else if err != nil {
		t.Error(err)
	}
}

// hasHeading knows headings as GitHub's anchors write them.
func hasHeading(text, anchor string) bool {
	for _, line := range strings.Split(text, "\n") {
		title := strings.TrimLeft(line, "#")
		if title != line && strings.ReplaceAll(strings.ToLower(strings.TrimSpace(title)), " ", "-") == anchor {
			return true
		}
	}
	return false
}

// helpOfAll is what the program says of all its commands.
func helpOfAll(t *testing.T) string {
	t.Helper()
	quick := []string{"GORACE=atexit_sleep_ms=0"} // else 1 s each
	all := ""
	for _, command := range []string{
		"", "serve", "connect", "forward", "invite", "invite list", "invite revoke", "grant", "revoke",
		"certs", "certs init", "certs issue", "certs list", "certs inspect", "certs renew", "certs revoke",
		"status", "links", "peers", "sessions", "healthcheck", "wait", "reload", "drain",
	} {
		code, stdout, stderr := once(t, quick, append(strings.Fields(command), "--help")...)
		if code != 0 {
			t.Fatalf("%s --help: exit %d: %s", command, code, stderr)
		}
		all += stdout
	}
	return all
}
