package integration

import (
	"encoding/base32"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// invite makes an invitation in a provider's state directory and returns the
// token.
func invite(t *testing.T, provider, name string, args ...string) string {
	t.Helper()
	code, stdout, stderr := once(t, nil, append([]string{"invite", name, "--state-dir", provider}, args...)...)
	token := printedToken.FindString(stdout)
	if code != 0 || token == "" {
		t.Fatalf("invite: exit %d: %s%s", code, stdout, stderr)
	}
	return token
}

var printedToken = regexp.MustCompile(`(?m)^amb1\.[a-z2-7]+$`)

// joined is a client that joins a running provider with a token.
type joined struct {
	*process
	b        *backend
	provider *process
	state    [2]string // directories of the provider and the client
	entry    string
	token    string // the file that it joined with
}

// join starts a provider and a client that joins by an invitation, for a backend
// of the test's.
func join(t *testing.T, links ...string) *joined {
	t.Helper()
	dir := t.TempDir()
	return joinIn(t, dir+"/provider", dir+"/client", links...)
}

// joinIn has the two state directories where the test wants them.
func joinIn(t *testing.T, provider, client string, links ...string) *joined {
	t.Helper()
	j := &joined{b: newBackend(t), state: [2]string{provider, client}, entry: "127.0.0.1:" + freePort(t)}
	j.provider = startProvider(t, j.state[0], "--link", "backend="+j.b.addr, "--link", "other="+j.b.addr)
	var args []string
	for _, l := range links {
		args = append(args, "--link", l)
	}
	j.token = t.TempDir() + "/token"
	write(t, j.token, invite(t, j.state[0], "tester", args...)+"\n")
	_, port, _ := net.SplitHostPort(j.b.addr)
	j.process = run(t, nil, "connect", j.provider.address(), "--state-dir", j.state[1], "--join", "@"+j.token, "--expose", j.entry+"=backend:"+port)
	j.waitLog("connected to the provider")
	return j
}

// on runs a command on the provider's host.
func (j *joined) on(t *testing.T, args ...string) string {
	t.Helper()
	code, stdout, stderr := once(t, nil, append(args, "--state-dir", j.state[0])...)
	if code != 0 {
		t.Fatalf("%v: exit %d: %s", args, code, stderr)
	}
	return stdout
}

func TestTokenComesFromWhereItIsGiven(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := startProvider(t, dir+"/provider", "--link", "redis=127.0.0.1:1")
	for name, give := range map[string]func(token string) (env, args []string, stdin io.Reader){
		"argument": func(token string) ([]string, []string, io.Reader) { return nil, []string{"--join", token}, nil },
		"file": func(token string) ([]string, []string, io.Reader) {
			write(t, dir+"/token", token+"\n")
			return nil, []string{"--join", "@" + dir + "/token"}, nil
		},
		"standard input": func(token string) ([]string, []string, io.Reader) {
			return nil, []string{"--join", "-"}, strings.NewReader(token + "\n")
		},
		"environment": func(token string) ([]string, []string, io.Reader) {
			return []string{"AMBASSADOR_JOIN=" + token}, nil, nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			state := filepath.Join(t.TempDir(), "client")
			env, args, stdin := give(invite(t, dir+"/provider", "web"))
			args = append([]string{"connect", p.address(), "--state-dir", state, "--expose", freePort(t) + "=redis"}, args...)
			c := runWith(t, env, stdin, args...)
			c.waitLog("connected to the provider")
			c.signal(syscall.SIGTERM)
			if code := c.exit(); code != 0 {
				t.Fatalf("exit %d", code)
			}
			// The next start needs none: with or without the flag, and whether the
			// token is there or not. Nobody types it again.
			start := func(args []string) *process {
				again := run(t, env, args...)
				again.waitLog("connected to the provider")
				again.signal(syscall.SIGTERM)
				again.exit()
				return again
			}
			start(args[:6])
			start(args)
			if name == "file" {
				write(t, dir+"/token", "\n")
				start(args).waitLog("no token, going on with the certificate that is there", "no token in "+dir)
				if err := os.Remove(dir + "/token"); err != nil {
					t.Fatal(err)
				}
				start(args).waitLog("no token, going on with the certificate that is there", "no such file")
			}
		})
	}
}

// Either side may start first.
func TestClientWaitsForItsProviderToJoin(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	token := invite(t, dir+"/provider", "web") // nobody serves yet
	address := "127.0.0.1:" + freePort(t)
	c := run(t, nil, "connect", address, "--state-dir", dir+"/client", "--join", token, "--expose", freePort(t)+"=redis")
	c.waitLog("provider not reached to join, will keep trying", "connection refused")
	p := run(t, nil, "serve", "--listen", address, "--state-dir", dir+"/provider", "--link", "redis=127.0.0.1:1")
	p.waitLog("client joined", "spiffe://ambassador/client/web")
	c.waitLog("connected to the provider")
}

func TestTokensThatDoNotJoin(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := startProvider(t, dir+"/provider", "--link", "redis=127.0.0.1:1")
	other := startProvider(t, dir+"/other", "--link", "redis=127.0.0.1:1")
	gone := invite(t, dir+"/provider", "web")
	if code, _, stderr := once(t, nil, "invite", "revoke", gone[5:13], "--state-dir", dir+"/provider"); code != 0 {
		t.Fatal(stderr)
	}
	good := invite(t, dir+"/provider", "web")
	mistyped := good[:50] + "a" + good[51:]
	if mistyped == good {
		mistyped = good[:50] + "b" + good[51:]
	}
	for name, tc := range map[string]struct {
		address, token string
		code           int
		says           string
	}{
		"mistyped":           {"127.0.0.1:1", mistyped, 2, "it is mistyped"},
		"cut off":            {"127.0.0.1:1", good[:90], 2, "it was cut off"},
		"nothing of ours":    {"127.0.0.1:1", "hello", 2, `it does not begin with "amb1."`},
		"no such file":       {"127.0.0.1:1", "@" + dir + "/none", 2, "no such file"},
		"taken back":         {p.address(), gone, 1, `it was used, has expired or was taken back: run "ambassador invite NAME"`},
		"of another CA":      {other.address(), good, 1, "is not the provider of this token"},
		"with another's own": {p.address(), invite(t, dir+"/other", "web"), 1, "it was not shown the secret"},
	} {
		t.Run(name, func(t *testing.T) {
			code, _, stderr := once(t, nil, "connect", tc.address, "--state-dir", filepath.Join(t.TempDir(), "c"), "--join", tc.token, "--expose", freePort(t)+"=redis")
			if code != tc.code || !strings.Contains(stderr, tc.says) {
				t.Errorf("exit %d: %s; want %d and %q", code, stderr, tc.code, tc.says)
			}
			if strings.HasPrefix(tc.token, "amb1.") && strings.Contains(stderr, tc.token[20:40]) {
				t.Errorf("the token shows: %s", stderr)
			}
		})
	}
}

func TestGrantsChangeUnderARunningPair(t *testing.T) {
	t.Parallel()
	j := join(t, "backend")
	kept, keptService := j.b.dial(t, j.entry)
	exchange(t, kept, keptService)

	j.on(t, "grant", "tester", "other")
	j.provider.waitLog("the client's links have changed", `"links":2`)
	exchange(t, kept, keptService)
	j.on(t, "revoke", "tester", "other")
	j.provider.waitLog("the client's links have changed", `"links":1`, `"links_before":2`)
	exchange(t, kept, keptService)

	began := time.Now()
	j.on(t, "revoke", "tester", "backend")
	seesReset(t, kept)
	seesReset(t, keptService)
	if d := time.Since(began); d > 5*time.Second {
		t.Errorf("reset after %v, want 5 s at most", d)
	}
	j.waitLog("not available from this provider")
	if c, err := net.Dial("tcp", j.entry); err == nil {
		defer c.Close()
		seesReset(t, c.(*net.TCPConn))
	} else if !isReset(err) { // it may come as early as that
		t.Fatal(err)
	}

	j.on(t, "grant", "tester", "backend")
	j.provider.waitLog("the client's links have changed", `"links":1`, `"links_before":0`)
	within(t, patience, func() bool {
		c, err := net.Dial("tcp", j.entry)
		if err != nil {
			return false
		}
		defer c.Close()
		select {
		case s := <-j.b.conns:
			s.Close()
			return true
		case <-time.After(200 * time.Millisecond):
			return false
		}
	})
}

// pour sends to one end until it fails, and says with what.
func pour(c *net.TCPConn) <-chan error {
	failed := make(chan error, 1)
	go func() {
		block := make([]byte, 64<<10)
		for {
			if _, err := c.Write(block); err != nil {
				failed <- err
				return
			}
		}
	}()
	return failed
}

// drink reads from one end until it fails, and says with what.
func drink(c *net.TCPConn, enough chan<- struct{}) <-chan error {
	failed := make(chan error, 1)
	go func() {
		buf, total := make([]byte, 64<<10), 0
		for {
			n, err := c.Read(buf)
			if total += n; total > 8<<20 && enough != nil {
				close(enough)
				enough = nil
			}
			if err != nil {
				failed <- err
				return
			}
		}
	}()
	return failed
}

func TestRevocationInTheMiddleOfATransfer(t *testing.T) {
	j := join(t)
	consumer, service := j.b.dial(t, j.entry)
	flowing := make(chan struct{})
	sent, received := pour(service), drink(consumer, flowing)
	select {
	case <-flowing:
	case <-time.After(patience):
		t.Fatal("nothing flows")
	}
	began := time.Now()
	if out := j.on(t, "revoke", "tester"); !strings.Contains(out, "revoked tester") {
		t.Errorf("printed %q", out)
	}
	for end, failed := range map[string]<-chan error{"service": sent, "consumer": received} {
		select {
		case err := <-failed:
			if !isReset(err) {
				t.Errorf("%s: %v, want a reset", end, err)
			}
			t.Logf("%s: reset %v after the command began", end, time.Since(began))
		case <-time.After(5*time.Second - time.Since(began)):
			t.Errorf("%s: not reset within 5 s", end)
		}
	}
	j.waitLog("session with the provider lost, connecting again", "its certificate is revoked")
	j.waitLog("provider not reached, will keep trying", "only a new invitation brings it back")
	j.provider.waitLog("client refused", "revoked: spiffe://ambassador/client/tester")

	// It stays out after a restart, and a new invitation brings it back.
	j.signal(syscall.SIGTERM)
	j.exit()
	_, port, _ := net.SplitHostPort(j.b.addr)
	args := []string{"connect", j.provider.address(), "--state-dir", j.state[1], "--expose", j.entry + "=backend:" + port}
	out := run(t, nil, args...)
	out.waitLog("provider not reached, will keep trying", "only a new invitation brings it back")
	out.signal(syscall.SIGTERM)
	out.exit()
	back := run(t, nil, append(args, "--join", invite(t, j.state[0], "tester"))...)
	back.waitLog("connected to the provider")
	consumer, service = j.b.dial(t, j.entry)
	exchange(t, consumer, service)
}

// Nothing that others may see holds a token's secret, whatever the log level.
func TestSecretShowsNowhere(t *testing.T) {
	t.Parallel()
	j := join(t)
	token, err := os.ReadFile(j.token)
	if err != nil {
		t.Fatal(err)
	}
	spellings := spellingsOf(t, strings.TrimSpace(string(token)))
	if found := spelled(string(token), spellings); found == "" {
		t.Fatal("the search does not find the secret in the token itself")
	}
	consumer, service := j.b.dial(t, j.entry)
	exchange(t, consumer, service)
	consumer.Close()
	service.Close()
	for name, p := range map[string]*process{"provider": j.provider, "client": j.process} {
		p.waitLog("stream ended")
		cmdline, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", p.cmd.Process.Pid))
		if err != nil {
			t.Fatal(err)
		}
		ps := command(nil, "ps", "-ww", "-o", "args", "-p", fmt.Sprint(p.cmd.Process.Pid))
		// The runtime's last word: every goroutine with its arguments.
		p.signal(syscall.SIGQUIT)
		p.exit()
		for where, content := range map[string]string{"cmdline": string(cmdline), "ps": ps.stdout, "log and stacks": p.log()} {
			if found := spelled(content, spellings); found != "" {
				t.Errorf("the %s's %s holds the secret %s", name, where, found)
			}
		}
		if !strings.Contains(p.log(), "goroutine ") || !strings.Contains(p.log(), `"debug"`) {
			t.Errorf("the %s's log has no stacks or no debug lines: not all was seen", name)
		}
	}
	seen := 0
	for _, dir := range j.state {
		err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return err
			}
			seen++
			content, err := os.ReadFile(path)
			if found := spelled(string(content), spellings); found != "" {
				t.Errorf("%s holds the secret %s", path, found)
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
	if seen < 10 {
		t.Errorf("only %d files were seen", seen)
	}
	listed := j.on(t, "invite", "list", "-o", "json") + j.on(t, "certs", "list", "-o", "json")
	if found := spelled(listed, spellings); found != "" || !strings.Contains(listed, "tester") {
		t.Errorf("the lists hold the secret %s: %s", found, listed)
	}
}

// spellingsOf are the ways in which a token's secret may show.
func spellingsOf(t *testing.T, token string) map[string]string {
	t.Helper()
	secret := secretOf(t, token)
	return map[string]string{
		"as it stands in the token": token[len(token)-36 : len(token)-8], "raw": string(secret), "in hex": hex.EncodeToString(secret),
		"in base64": base64.StdEncoding.EncodeToString(secret), "as a list of numbers": strings.Trim(fmt.Sprint(secret), "[]"),
	}
}

// spelled says how a text holds a secret; empty if it does not.
func spelled(text string, spellings map[string]string) string {
	for how, spelling := range spellings {
		if strings.Contains(text, spelling) {
			return how
		}
	}
	return ""
}

func secretOf(t *testing.T, token string) []byte {
	t.Helper()
	b, err := base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding).DecodeString(strings.TrimPrefix(token, "amb1."))
	if err != nil || len(b) != 61 {
		t.Fatalf("%d bytes, %v", len(b), err)
	}
	return b[37:57]
}
