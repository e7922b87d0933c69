package admin_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"ambassador/internal/admin"
	"ambassador/internal/live"
)

const patience = 20 * time.Second

// flow is a stream that a test moves.
type flow struct{ in, out atomic.Int64 }

func (f *flow) Bytes() (in, out int64) { return f.in.Load(), f.out.Load() }
func (f *flow) Abort(string)           {}

// shownPair is an ambassador with one link, and its dashboard on a port of its own.
type shownPair struct {
	t      *testing.T
	a      *admin.Ambassador
	table  *live.Table
	client http.Client
	base   string // http://127.0.0.1:PORT
}

func showPair(t *testing.T, change func(*admin.Ambassador, *admin.Dashboard)) *shownPair {
	t.Helper()
	table := new(live.Table)
	a := &admin.Ambassador{
		Role: admin.RoleProvider, Table: table, Started: time.Now(),
		Facts: func() admin.Facts {
			return admin.Facts{
				Identity: "spiffe://ambassador/provider/big-server",
				Links:    []admin.LinkFacts{{Name: "redis", Ports: []admin.PortFacts{{Number: 6379, Backend: "redis:6379"}}}},
			}
		},
	}
	d := &admin.Dashboard{Ambassador: a}
	if change != nil {
		change(a, d)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &shownPair{t: t, a: a, table: table, base: "http://" + l.Addr().String()}
	s.client.Transport = &http.Transport{}
	ended := make(chan error, 1)
	go func() { ended <- d.Serve(l) }()
	t.Cleanup(func() {
		s.client.CloseIdleConnections()
		if err := d.Close(); err != nil {
			t.Error(err)
		}
		if err := <-ended; err != nil {
			t.Errorf("Serve after Close: %v", err)
		}
	})
	return s
}

// ask sends a request with headers, of which Host is one.
func (s *shownPair) ask(method, path string, headers map[string]string, body string) *http.Response {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	s.t.Cleanup(cancel)
	r, err := http.NewRequestWithContext(ctx, method, s.base+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	for name, value := range headers {
		if name == "Host" {
			r.Host = value
		}
		r.Header.Set(name, value)
	}
	answer, err := s.client.Do(r)
	if err != nil {
		s.t.Fatalf("%s %s: %v", method, path, err)
	}
	s.t.Cleanup(func() { answer.Body.Close() })
	return answer
}

func (s *shownPair) get(path string) (body string) {
	s.t.Helper()
	answer := s.ask("GET", path, nil, "")
	b, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK {
		s.t.Fatalf("GET %s: %s, %v: %s", path, answer.Status, err, b)
	}
	return string(b)
}

// frame is what the tests read of one.
type frame struct {
	Status  admin.Status
	Rates   map[string]struct{ In, Out float64 }
	Streams []struct {
		admin.Stream
		Rate struct{ In, Out float64 }
	}
	Events  []admin.Event
	Ended   []admin.Ending
	History history
}

type history struct {
	At    []int64
	Links []struct {
		Name             string
		In, Out, Connect []*float64
	}
}

// feed reads the events of an answer.
func (s *shownPair) feed(answer *http.Response) (next func() frame) {
	s.t.Helper()
	if got := answer.Header.Get("Content-Type"); got != "text/event-stream" {
		s.t.Fatalf("%s, Content-Type %q", answer.Status, got)
	}
	lines := bufio.NewScanner(answer.Body)
	lines.Buffer(nil, 1<<20)
	return func() (f frame) {
		s.t.Helper()
		for lines.Scan() {
			if data, is := strings.CutPrefix(lines.Text(), "data: "); is {
				if err := json.Unmarshal([]byte(data), &f); err != nil {
					s.t.Fatal(err)
				}
				return f
			}
		}
		s.t.Fatalf("the events have ended: %v", lines.Err())
		return f
	}
}

func TestDashboardFilesHaveAStrictPolicy(t *testing.T) {
	t.Parallel()
	s := showPair(t, nil)
	for path, mediaType := range map[string]string{
		"/": "text/html", "/main.js": "text/javascript", "/dashboard.css": "text/css", "/icon.svg": "image/svg+xml",
		"/uplot/uPlot.iife.min.js": "text/javascript", "/uplot/LICENSE": "text/plain",
		"/frame": "application/json", "/history": "application/json",
	} {
		answer := s.ask("GET", path, nil, "")
		if answer.StatusCode != http.StatusOK || !strings.HasPrefix(answer.Header.Get("Content-Type"), mediaType) {
			t.Errorf("%s: %s, Content-Type %q, want %s", path, answer.Status, answer.Header.Get("Content-Type"), mediaType)
		}
	}
	for _, path := range []string{"/", "/frame", "/nothing", "/../dashboard.go", "/ui/index.html"} {
		h := s.ask("GET", path, nil, "").Header
		for name, want := range map[string]string{
			"Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
			"X-Content-Type-Options":  "nosniff", "Referrer-Policy": "no-referrer", "X-Frame-Options": "DENY",
			"Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Resource-Policy": "same-origin",
		} {
			if got := h.Get(name); !strings.HasPrefix(got, want) {
				t.Errorf("%s: %s: %q, want %q", path, name, got, want)
			}
		}
		if strings.Contains(h.Get("Content-Security-Policy"), "unsafe") {
			t.Errorf("%s: the policy allows what is unsafe", path)
		}
	}
}

func TestDashboardFilesHoldNothingInlineOrForeign(t *testing.T) {
	t.Parallel()
	s := showPair(t, nil)
	page := s.get("/")
	for _, wrong := range []string{`<style`, `style="`, ` on\w+="`, `<script>`, `javascript:`, `<base`, `<form`} {
		if found := regexp.MustCompile(wrong).FindString(page); found != "" {
			t.Errorf("the page holds %q", found)
		}
	}
	for _, path := range []string{"/", "/main.js", "/dom.js", "/feed.js", "/charts.js", "/picture.js", "/format.js", "/theme.js", "/dashboard.css"} {
		text := strings.ReplaceAll(s.get(path), "http://www.w3.org/2000/svg", "") // a name, nothing is asked of it
		for _, wrong := range []string{`https?://`, `innerHTML`, `outerHTML`, `insertAdjacentHTML`, `document\.write`, `\beval\(`, `new Function`, `cssText`, `url\(`, `@import`} {
			if found := regexp.MustCompile(wrong).FindString(text); found != "" {
				t.Errorf("%s holds %q", path, found)
			}
		}
	}
}

func TestDashboardFilesAreAskedForAgainOnlyWhenTheyChange(t *testing.T) {
	t.Parallel()
	s := showPair(t, nil)
	tag := s.ask("GET", "/main.js", nil, "").Header.Get("ETag")
	if tag == "" {
		t.Fatal("no ETag")
	}
	if answer := s.ask("GET", "/main.js", map[string]string{"If-None-Match": tag}, ""); answer.StatusCode != http.StatusNotModified {
		t.Errorf("%s with the ETag that was given", answer.Status)
	}
}

func TestDashboardIsReadOnly(t *testing.T) {
	t.Parallel()
	s := showPair(t, nil)
	for _, path := range []string{"/", "/frame", "/feed", "/history", "/v1/kill"} {
		for _, method := range []string{"POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"} {
			answer := s.ask(method, path, nil, "")
			if answer.StatusCode != http.StatusMethodNotAllowed || answer.Header.Get("Allow") != "GET, HEAD" {
				t.Errorf("%s %s: %s, Allow %q", method, path, answer.Status, answer.Header.Get("Allow"))
			}
		}
		if path != "/v1/kill" {
			if answer := s.ask("HEAD", path, nil, ""); answer.StatusCode != http.StatusOK {
				t.Errorf("HEAD %s: %s", path, answer.Status)
			}
		}
	}
	if answer := s.ask("GET", "/frame", nil, "a body"); answer.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("with a body: %s", answer.Status)
	}
}

func TestDashboardKnowsItsNames(t *testing.T) {
	t.Parallel()
	s := showPair(t, func(_ *admin.Ambassador, d *admin.Dashboard) { d.Hosts = []string{"status.example", "10.1.2.3"} })
	for host, want := range map[string]int{
		strings.TrimPrefix(s.base, "http://"): http.StatusOK,
		"127.0.0.1":                           http.StatusOK,
		"127.0.0.1:1234":                      http.StatusOK, // through a tunnel
		"localhost":                           http.StatusOK,
		"LocalHost:7080":                      http.StatusOK,
		"[::1]:7080":                          http.StatusOK, // loopback on loopback
		"status.example":                      http.StatusOK,
		"Status.Example:443":                  http.StatusOK,
		"10.1.2.3:80":                         http.StatusOK,
		"evil.example":                        http.StatusMisdirectedRequest,
		"evil.example:7080":                   http.StatusMisdirectedRequest,
		"127.0.0.1.evil.example":              http.StatusMisdirectedRequest,
		"localhost.evil.example":              http.StatusMisdirectedRequest,
		"status.example.evil.example":         http.StatusMisdirectedRequest,
		"10.9.9.9":                            http.StatusMisdirectedRequest, // an address, but not this one
		"0.0.0.0:7080":                        http.StatusMisdirectedRequest, // which browsers let lead here
	} {
		for _, path := range []string{"/", "/frame"} {
			if answer := s.ask("GET", path, map[string]string{"Host": host}, ""); answer.StatusCode != want {
				t.Errorf("%s of host %q: %s, want %d", path, host, answer.Status, want)
			}
		}
	}
}

func TestDashboardAnswersNoOtherOrigin(t *testing.T) {
	t.Parallel()
	s := showPair(t, nil)
	navigation := func(site string) map[string]string {
		return map[string]string{"Sec-Fetch-Site": site, "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
	}
	for name, c := range map[string]struct {
		path    string
		headers map[string]string
		want    int
	}{
		"own-origin":              {"/frame", map[string]string{"Origin": s.base}, http.StatusOK},
		"own-page":                {"/frame", map[string]string{"Sec-Fetch-Site": "same-origin"}, http.StatusOK},
		"typed":                   {"/", navigation("none"), http.StatusOK},
		"link-from-elsewhere":     {"/", navigation("cross-site"), http.StatusOK},
		"other-origin":            {"/frame", map[string]string{"Origin": "http://evil.example"}, http.StatusForbidden},
		"opaque-origin":           {"/frame", map[string]string{"Origin": "null"}, http.StatusForbidden},
		"other-port-of-this-host": {"/frame", map[string]string{"Origin": "http://127.0.0.1:1"}, http.StatusForbidden},
		"cross-site":              {"/feed", map[string]string{"Sec-Fetch-Site": "cross-site"}, http.StatusForbidden},
		"same-site":               {"/frame", map[string]string{"Sec-Fetch-Site": "same-site"}, http.StatusForbidden},
		"script-from-elsewhere":   {"/main.js", map[string]string{"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Dest": "script"}, http.StatusForbidden},
		"navigation-to-the-data":  {"/frame", navigation("cross-site"), http.StatusForbidden},
		"in-a-frame":              {"/", map[string]string{"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"}, http.StatusForbidden},
	} {
		if answer := s.ask("GET", c.path, c.headers, ""); answer.StatusCode != c.want {
			t.Errorf("%s: %s, want %d", name, answer.Status, c.want)
		} else if answer.Header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s: the answer may be read by other origins", name)
		}
	}
}

func TestDashboardFeedMoves(t *testing.T) {
	t.Parallel()
	s := showPair(t, nil)
	f := new(flow)
	row := s.table.OpenStream("spiffe://ambassador/client/web", "redis", 6379, "127.0.0.1:40000", "")
	row.Connected(nil, time.Millisecond)
	row.Carry(f)
	s.table.OpenStream("spiffe://ambassador/client/web", "redis", 6379, "127.0.0.1:40001", "").End(live.BackendRefused)
	s.table.Event(live.Event{Kind: live.Notice, Text: "first"})
	s.table.Event(live.Event{Kind: live.Notice, Text: "second"})

	next := s.feed(s.ask("GET", "/feed", nil, ""))
	seen := next()
	for len(seen.History.At) == 0 { // a rate needs a sample before it
		seen = next()
	}
	f.in.Store(1000)
	f.out.Store(50_000)
	seen = next()
	for began := time.Now(); seen.Rates["redis"].Out == 0; seen = next() {
		if time.Since(began) > patience {
			t.Fatal("the rate does not move")
		}
	}
	if out := seen.Rates["redis"].Out; out < 20_000 || out > 100_000 {
		t.Errorf("50000 bytes within about a second are a rate of %v", out)
	}
	if len(seen.Streams) != 1 || seen.Streams[0].BytesOut != 50_000 || seen.Streams[0].Consumer != "127.0.0.1:40000" {
		t.Errorf("streams: %+v", seen.Streams)
	}
	got, want := seen.Status, s.a.Status(t.Context(), 0)
	if got.Verdict != want.Verdict || got.Ready != want.Ready || got.Streams != want.Streams || fmt.Sprint(got.Links) != fmt.Sprint(want.Links) {
		t.Errorf("the page and status disagree:\n%+v\n%+v", got, want)
	}
	if len(seen.Events) != 2 || seen.Events[0].Text != "second" {
		t.Errorf("events, newest first: %+v", seen.Events)
	}
	if len(seen.Ended) != 1 || seen.Ended[0] != (admin.Ending{Reason: "backend-refused", Count: 1, Lately: 1}) {
		t.Errorf("ended: %+v", seen.Ended)
	}
}

func TestDashboardShowsTheBusiestStreams(t *testing.T) {
	t.Parallel()
	s := showPair(t, nil)
	flows := make([]*flow, 120)
	for i := range flows {
		flows[i] = new(flow)
		row := s.table.OpenStream("web", "redis", 6379, fmt.Sprintf("consumer-%d", i), "")
		row.Carry(flows[i])
	}
	flows[5].in.Store(10_000_000) // and no more
	next := s.feed(s.ask("GET", "/feed", nil, ""))
	next()
	flows[77].in.Store(2_000_000)
	flows[99].in.Store(1_000_000)
	seen := next()
	for began := time.Now(); seen.Streams[0].Consumer == "consumer-5"; seen = next() {
		if time.Since(began) > patience/2 {
			t.Fatal("the busiest stream does not come first")
		}
	}
	if len(seen.Streams) != 50 || seen.Status.Streams != 120 {
		t.Errorf("%d of %d streams are shown, want 50 of 120", len(seen.Streams), seen.Status.Streams)
	}
	if seen.Streams[0].Consumer != "consumer-77" || seen.Streams[1].Consumer != "consumer-99" {
		t.Errorf("first come %s and %s", seen.Streams[0].Consumer, seen.Streams[1].Consumer)
	}
}

func TestDashboardKeepsHistoryWhileNobodyLooks(t *testing.T) {
	t.Parallel()
	var checks atomic.Int64
	s := showPair(t, func(a *admin.Ambassador, _ *admin.Dashboard) {
		a.Check = func(context.Context, time.Duration) error {
			checks.Add(1)
			return nil
		}
	})
	f := new(flow)
	row := s.table.OpenStream("web", "redis", 6379, "c", "")
	row.Connected(nil, 20*time.Millisecond)
	row.Carry(f)
	read := func() (h history) {
		if err := json.Unmarshal([]byte(s.get("/history")), &h); err != nil {
			t.Fatal(err)
		}
		return h
	}
	wait := func(samples int) (h history) {
		for began := time.Now(); len(h.At) < samples; h = read() {
			if time.Since(began) > patience {
				t.Fatalf("%d samples after %v", len(h.At), patience)
			}
			time.Sleep(50 * time.Millisecond) // between two looks
		}
		return h
	}
	wait(1)
	f.in.Store(3000)
	row = s.table.OpenStream("web", "redis", 6379, "d", "")
	row.Connected(nil, 40*time.Millisecond)
	h := wait(len(read().At) + 2)
	if len(h.Links) != 1 || h.Links[0].Name != "redis" {
		t.Fatalf("links: %+v", h.Links)
	}
	var bytes, connect float64
	for i, in := range h.Links[0].In {
		if in != nil {
			bytes += *in * float64(h.At[i]-h.At[i-1]) / 1000
		}
		if c := h.Links[0].Connect[i]; c != nil {
			connect = *c
		}
	}
	if bytes < 2990 || bytes > 3010 {
		t.Errorf("the samples sum up to %v bytes, want 3000", bytes)
	}
	if connect < 39 || connect > 41 {
		t.Errorf("connecting took %v ms at last, want 40", connect)
	}
	if n := checks.Load(); n != 0 {
		t.Errorf("backends were checked %d times for nobody", n)
	}
	next := s.feed(s.ask("GET", "/feed", nil, ""))
	next()
	next()
	if checks.Load() == 0 {
		t.Error("backends are not checked while a page is open")
	}
}

func TestDashboardGoesOnWhileACheckHangs(t *testing.T) {
	t.Parallel()
	s := showPair(t, func(a *admin.Ambassador, _ *admin.Dashboard) {
		a.Check = func(ctx context.Context, _ time.Duration) error {
			<-ctx.Done()
			return ctx.Err()
		}
	})
	next := s.feed(s.ask("GET", "/feed", nil, ""))
	began := time.Now()
	for range 3 {
		next()
	}
	if took := time.Since(began); took > 8*time.Second {
		t.Errorf("three frames took %v", took)
	}
}

func TestDashboardFeedsSoManyPages(t *testing.T) {
	t.Parallel()
	s := showPair(t, nil)
	const most = 16
	var leave []func()
	for range most {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		r, err := http.NewRequestWithContext(ctx, "GET", s.base+"/feed", nil)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := s.client.Do(r)
		if err != nil || answer.StatusCode != http.StatusOK {
			t.Fatalf("%v, %v", answer, err)
		}
		defer answer.Body.Close()
		s.feed(answer)()
		leave = append(leave, cancel)
	}
	answer := s.ask("GET", "/feed", nil, "")
	if answer.StatusCode != http.StatusServiceUnavailable || answer.Header.Get("Retry-After") == "" {
		t.Errorf("page %d: %s, Retry-After %q", most+1, answer.Status, answer.Header.Get("Retry-After"))
	}
	if !json.Valid([]byte(s.get("/frame"))) {
		t.Error("a page that is not fed cannot ask")
	}
	leave[0]()
	for began := time.Now(); s.ask("HEAD", "/feed", nil, "").StatusCode != http.StatusOK; time.Sleep(10 * time.Millisecond) {
		if time.Since(began) > patience {
			t.Fatal("the place of a page that has left is not given away")
		}
	}
}

func TestDashboardHoldsSoManyConnections(t *testing.T) {
	t.Parallel()
	s := showPair(t, nil)
	addr := strings.TrimPrefix(s.base, "http://")
	for range 64 {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(4 * time.Second)) // less than a header may take
	if _, err := c.Read(make([]byte, 1)); err == nil || isTimeout(err) {
		t.Errorf("one connection too many is held: %v", err)
	}
}

func TestDashboardCutsOffWhoDoesNotRead(t *testing.T) {
	t.Parallel()
	s := showPair(t, nil)
	for range 40 {
		s.table.Event(live.Event{Kind: live.Notice, Text: strings.Repeat("x", 256<<10)}) // more than sockets buffer
	}
	c, err := net.Dial("tcp", strings.TrimPrefix(s.base, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprint(c, "GET /feed HTTP/1.1\r\nHost: localhost\r\n\r\n")
	if _, err := c.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	// Others get their frames meanwhile.
	began := time.Now()
	s.get("/frame")
	if took := time.Since(began); took > patience/2 {
		t.Errorf("another page waited for %v", took)
	}
	time.Sleep(11 * time.Second) // what a frame may take to be written, and a little
	c.SetReadDeadline(time.Now().Add(5 * time.Second))
	n, err := io.Copy(io.Discard, c)
	if isTimeout(err) || n > 20<<20 {
		t.Errorf("it is still fed, after %d bytes: %v", n, err)
	}
}

func isTimeout(err error) bool {
	timeout, ok := err.(net.Error)
	return ok && timeout.Timeout()
}

func TestDashboardTellsNewsAtOnce(t *testing.T) {
	t.Parallel()
	s := showPair(t, nil)
	next := s.feed(s.ask("GET", "/feed", nil, ""))
	for i := range 4 {
		next()
		s.table.Event(live.Event{Kind: live.Notice, Text: "news"})
		began := time.Now()
		for len(next().Events) == i {
		}
		if took := time.Since(began); took > 600*time.Millisecond {
			t.Errorf("news came after %v", took)
		}
	}
}
