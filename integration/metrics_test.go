package integration

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// watched is a pair with --metrics-addr on both sides.
type watched struct {
	*pair
	provided, connected string // their addresses
}

func startWatched(t *testing.T, backend string) watched {
	t.Helper()
	w := watched{provided: "127.0.0.1:" + freePort(t), connected: "127.0.0.1:" + freePort(t)}
	w.pair = startPair(t, backend, pairOptions{
		serve:   []string{"--metrics-addr", w.provided},
		connect: []string{"--metrics-addr", w.connected},
	})
	return w
}

// fetch is a GET without any credentials.
func fetch(t *testing.T, addr, path string) (status int, body string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Close = true
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(text)
}

// sample is the sum of a metric's series whose labels have all the parts.
func sample(t *testing.T, addr, name string, parts ...string) float64 {
	t.Helper()
	status, body := fetch(t, addr, "/metrics")
	if status != http.StatusOK {
		t.Fatalf("status %d: %s", status, body)
	}
	sum, found := 0.0, false
next:
	for line := range strings.Lines(body) {
		series, value, ok := strings.Cut(strings.TrimSpace(line), " ")
		if is, labels, _ := strings.Cut(series, "{"); !ok || is != name {
			continue
		} else {
			for _, p := range parts {
				if !strings.Contains(labels, p) {
					continue next
				}
			}
		}
		v, err := strconv.ParseFloat(value, 64)
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		sum, found = sum+v, true
	}
	if !found {
		t.Fatalf("no %s with %q in\n%s", name, parts, body)
	}
	return sum
}

// Bytes count while they flow, and the end of a connection under its reason.
func TestMetricsCountLive(t *testing.T) {
	t.Parallel()
	w := startWatched(t, echoServer(t))
	c, err := net.Dial("tcp", w.entry)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	const n = 100_000
	if _, err := c.Write(make([]byte, n)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(c, make([]byte, n)); err != nil {
		t.Fatal(err)
	}
	for _, addr := range []string{w.provided, w.connected} {
		eventually(t, patience, func() error {
			in := sample(t, addr, "ambassador_in_bytes_total", `link="backend"`)
			out := sample(t, addr, "ambassador_out_bytes_total", `link="backend"`)
			running := sample(t, addr, "ambassador_streams", `link="backend"`)
			if in != n || out != n || running != 1 {
				return fmt.Errorf("%s: in %v, out %v, running %v", addr, in, out, running)
			}
			return nil
		})
	}
	c.(*net.TCPConn).SetLinger(0)
	c.Close()
	for _, addr := range []string{w.provided, w.connected} {
		eventually(t, patience, func() error {
			if ended := sample(t, addr, "ambassador_streams_ended_total", `reason="consumer-reset"`); ended != 1 {
				return fmt.Errorf("%s: %v ended by the consumer's reset", addr, ended)
			}
			return nil
		})
	}
	if count := sample(t, w.provided, "ambassador_dial_duration_seconds_count", `link="backend"`); count != 1 {
		t.Errorf("%v dials", count)
	}
}

// A backend that goes away shows on both sides, and is back when it is back.
func TestReadyFollowsTheBackend(t *testing.T) {
	t.Parallel()
	port := freePort(t)
	backend := listenAt(t, port)
	w := startWatched(t, "127.0.0.1:"+port)
	ready := func(addr string, want int, says string) {
		t.Helper()
		eventually(t, patience, func() error {
			status, body := fetch(t, addr, "/readyz?verbose")
			if status != want || !strings.Contains(body, says) {
				return fmt.Errorf("%s: %d\n%s", addr, status, body)
			}
			return nil
		})
	}
	for _, addr := range []string{w.provided, w.connected} {
		ready(addr, http.StatusOK, "[+]link backend ok\n")
	}
	ready(w.connected, http.StatusOK, "[+]session ok\n")
	backend.Close()
	for _, addr := range []string{w.provided, w.connected} {
		ready(addr, http.StatusServiceUnavailable, "[-]link backend: backend-refused\n")
		if up := sample(t, addr, "ambassador_link_up", `link="backend"`); up != 0 {
			t.Errorf("%s: link_up %v", addr, up)
		}
		if status, _ := fetch(t, addr, "/livez"); status != http.StatusOK {
			t.Errorf("%s: /livez %d: another start mends no backend", addr, status)
		}
	}
	listenAt(t, port)
	for _, addr := range []string{w.provided, w.connected} {
		ready(addr, http.StatusOK, "[+]link backend ok\n")
	}
	w.provider.cmd.Process.Kill()
	ready(w.connected, http.StatusServiceUnavailable, "[-]session: ")
	if up := sample(t, w.connected, "ambassador_tunnel_up"); up != 0 {
		t.Errorf("tunnel_up %v", up)
	}
}

// listenAt is a backend that takes connections and says nothing.
func listenAt(t *testing.T, port string) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:"+port)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			c.Close()
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	return l
}

func TestMetricsPortThatIsTakenFailsTheStart(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	addr := l.Addr().String()
	code, _, stderr := once(t, nil, "serve", "--link", "redis:6379", "--listen", "127.0.0.1:0", "--state-dir", filepath.Join(t.TempDir(), "state"), "--metrics-addr", addr)
	if code != 1 || !strings.Contains(stderr, "--metrics-addr "+addr+" cannot be opened") {
		t.Errorf("exit %d: %s", code, stderr)
	}
	code, _, stderr = once(t, nil, "forward", "127.0.0.1", freePort(t), "--metrics-addr", "9101")
	if code != 2 || !strings.Contains(stderr, `--metrics-addr "9101": expected [IP]:PORT`) {
		t.Errorf("exit %d: %s", code, stderr)
	}
}

// Profiles are for the own user, at the control socket.
func TestProfilesAreAtTheControlSocketAlone(t *testing.T) {
	t.Parallel()
	w := startWatched(t, echoServer(t))
	for _, path := range []string{"/debug/pprof/", "/debug/pprof/heap", "/v1/status"} {
		if status, _ := fetch(t, w.connected, path); status != http.StatusNotFound {
			t.Errorf("%s: %d", path, status)
		}
	}
	socket := filepath.Join(w.state, "connect.sock")
	transport := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}}
	for path, want := range map[string]int{"/debug/pprof/goroutine": http.StatusOK, "/debug/pprof/cmdline": http.StatusNotFound} {
		answer, err := (&http.Client{Transport: transport, Timeout: patience}).Get("http://ambassador" + path)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if answer.StatusCode != want {
			t.Errorf("%s: %d, want %d", path, answer.StatusCode, want)
		}
	}
}

// promtool reads what Prometheus reads, and has its opinions.
func TestPromtoolHasNoComplaint(t *testing.T) {
	t.Parallel()
	promtool := installed(t, "promtool")
	w := startWatched(t, echoServer(t))
	for _, addr := range []string{w.provided, w.connected} {
		_, body := fetch(t, addr, "/metrics")
		runTool(t, body, promtool, "check", "metrics")
	}
}

// runTool runs a checker that says nothing when all is well.
func runTool(t *testing.T, stdin, program string, args ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%s %s: %v\n%s", program, strings.Join(args, " "), err, out)
	}
}
