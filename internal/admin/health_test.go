package admin

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"ambassador/internal/live"
)

func TestReadyNamesWhatIsMissing(t *testing.T) {
	status, body := get(t, provider(), "/readyz")
	want := "[+]running ok\n[+]link redis ok\n[-]link mq: backend-refused\nreadyz check failed\n"
	if status != http.StatusServiceUnavailable || body != want {
		t.Errorf("%d\n%s\nwant 503\n%s", status, body, want)
	}
	status, body = get(t, client(), "/readyz?verbose")
	want = "[+]running ok\n[-]session: connection refused\n[-]link redis: no-session\nreadyz check failed\n"
	if status != http.StatusServiceUnavailable || body != want {
		t.Errorf("%d\n%s\nwant 503\n%s", status, body, want)
	}
}

func TestReadyWhenAllAnswer(t *testing.T) {
	a := client()
	facts := Facts{Links: []LinkFacts{{Name: "redis", Ports: []PortFacts{{Number: 6379}}}}}
	a.Facts = func() Facts { return facts }
	a.Check = func(context.Context, time.Duration) error {
		a.Table.Dialled("redis", 6379, live.Running, time.Now(), time.Millisecond)
		return nil
	}
	if status, body := get(t, a, "/readyz"); status != http.StatusOK || body != "ok\n" {
		t.Errorf("%d %q", status, body)
	}
	want := "[+]running ok\n[+]session ok\n[+]link redis ok\nreadyz check passed\n"
	if status, body := get(t, a, "/readyz?verbose"); status != http.StatusOK || body != want {
		t.Errorf("%d\n%s\nwant 200\n%s", status, body, want)
	}
	facts.Draining = true
	if status, body := get(t, a, "/readyz"); status != http.StatusServiceUnavailable || !strings.Contains(body, "[-]running: draining\n") {
		t.Errorf("%d %q", status, body)
	}
}

func TestNotReadyWhileBackendsAreNotKnown(t *testing.T) {
	a := client()
	a.Facts = func() Facts { return Facts{Links: []LinkFacts{{Name: "redis", Ports: []PortFacts{{Number: 6379}}}}} }
	a.Check = func(context.Context, time.Duration) error { return errors.New("the provider does not answer") }
	if status, body := get(t, a, "/readyz"); status != http.StatusServiceUnavailable || !strings.Contains(body, "[-]link redis: the provider does not answer\n") {
		t.Errorf("%d %q", status, body)
	}
}

// Another start mends no backend.
func TestAliveWithoutProvider(t *testing.T) {
	if status, body := get(t, client(), "/livez"); status != http.StatusOK || body != "ok\n" {
		t.Errorf("%d %q", status, body)
	}
}

func TestNoProfilesBesideMetrics(t *testing.T) {
	for _, path := range []string{"/debug/pprof/", "/debug/pprof/heap", "/", "/status"} {
		if status, _ := get(t, provider(), path); status != http.StatusNotFound {
			t.Errorf("%s: %d, want 404", path, status)
		}
	}
}

// A profile is for who may steer anyway, and the command line may hold a token.
func TestProfilesWithoutCommandLine(t *testing.T) {
	for path, want := range map[string]int{
		"/debug/pprof/":                  http.StatusOK,
		"/debug/pprof/goroutine?debug=1": http.StatusOK,
		"/debug/pprof/symbol":            http.StatusOK,
		"/debug/pprof/cmdline":           http.StatusNotFound,
	} {
		w := httptest.NewRecorder()
		Profiles().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil))
		if w.Code != want {
			t.Errorf("%s: %d, want %d", path, w.Code, want)
		}
	}
}
