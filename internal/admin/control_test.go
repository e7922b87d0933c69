package admin_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"ambassador/internal/admin"
	"ambassador/internal/live"
)

func TestControlShowsWhatIsThere(t *testing.T) {
	a := provider()
	allAnswer(a.Table)
	session := a.Table.OpenSession("spiffe://ambassador/client/web", "v1", carrier{remote: "10.0.0.1:4242"}, func() {})
	stream := a.Table.OpenStream("spiffe://ambassador/client/web", "redis", 6379, "10.0.0.9:5555", "")
	stream.On(session, 7)
	stream.Connected(tcpAddr("10.0.0.2:6379"), time.Millisecond)
	stream.Carry(&relayed{in: 100, out: 2000})
	other := a.Table.OpenStream("spiffe://ambassador/client/db", "mq", 5672, "10.0.0.8:5555", "")
	defer other.End(live.ConsumerGone)
	r := serveControl(t, a)

	s, err := r.Status(bounded(t), 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	if s.Verdict != "2 links up" || !s.Ready || s.Sessions != 1 || s.Streams != 2 || s.Schema != admin.Schema || s.PID == 0 {
		t.Errorf("status: %+v", s)
	}
	links, err := r.Links(bounded(t), 0, 0)
	if err != nil || len(links.Links) != 2 {
		t.Fatalf("links: %+v, %v", links, err)
	}
	if redis := links.Links[1]; redis.Streams != 1 || redis.BytesIn != 100 || redis.BytesOut != 2000 {
		t.Errorf("bytes of a running stream are not those of its link: %+v", redis)
	}
	peers, err := r.Peers(bounded(t))
	if err != nil || len(peers.Peers) != 1 {
		t.Fatalf("peers: %+v, %v", peers, err)
	}
	if p := peers.Peers[0]; !p.Connected || p.Version != "v1" || p.RTTSeconds != 0.003 || p.Addresses[0] != "10.0.0.1:4242" || p.BytesOut != 2000 {
		t.Errorf("peer: %+v", p)
	}
	for _, c := range []struct {
		f                 admin.Filter
		sessions, streams int
	}{
		{admin.Filter{}, 1, 0},
		{admin.Filter{Streams: true}, 1, 2},
		{admin.Filter{Only: true}, 0, 2},
		{admin.Filter{Streams: true, Link: "redis"}, 1, 1},
		{admin.Filter{Streams: true, Link: "mq"}, 0, 1},
		{admin.Filter{Streams: true, Peer: "web"}, 1, 1},
		{admin.Filter{Streams: true, Peer: "spiffe://ambassador/client/web"}, 1, 1},
		{admin.Filter{Streams: true, Peer: "eb"}, 0, 0},
	} {
		got, err := r.Sessions(bounded(t), c.f)
		if err != nil || len(got.Sessions) != c.sessions || len(got.Streams) != c.streams {
			t.Errorf("%+v: %d sessions and %d streams, %v; want %d and %d", c.f, len(got.Sessions), len(got.Streams), err, c.sessions, c.streams)
		}
	}
	got, _ := r.Sessions(bounded(t), admin.Filter{Streams: true, Link: "redis"})
	if st := got.Streams[0]; st.Session != got.Sessions[0].ID || st.Stream != 7 || st.Phase != "open" || st.Backend != "10.0.0.2:6379" || st.Consumer != "10.0.0.9:5555" {
		t.Errorf("stream: %+v", st)
	}
}

func TestControlKillsWhatIsNamed(t *testing.T) {
	a := provider()
	ended := make(chan struct{})
	session := a.Table.OpenSession("web", "", carrier{remote: "10.0.0.1:4242"}, func() { close(ended) })
	stream := a.Table.OpenStream("web", "redis", 6379, "10.0.0.9:5555", "")
	f := &relayed{aborted: make(chan string, 1)}
	stream.On(session, 7)
	stream.Carry(f)
	r := serveControl(t, a)

	d, err := r.Sessions(bounded(t), admin.Filter{Streams: true})
	if err != nil {
		t.Fatal(err)
	}
	if k, err := r.Kill(bounded(t), d.Streams[0].ID); err != nil || k.Kind != admin.KindStream {
		t.Errorf("killing a stream: %+v, %v", k, err)
	}
	select {
	case <-f.aborted:
	case <-time.After(patience):
		t.Fatal("the stream was not aborted")
	}
	if k, err := r.Kill(bounded(t), d.Sessions[0].ID); err != nil || k.Kind != admin.KindSession {
		t.Errorf("killing a session: %+v, %v", k, err)
	}
	select {
	case <-ended:
	case <-time.After(patience):
		t.Fatal("the session was not ended")
	}
	for _, id := range []string{"4711", "", "redis", "-1"} {
		_, err := r.Kill(bounded(t), id)
		if refused := (*admin.RefusedError)(nil); !errors.As(err, &refused) || refused.Status != http.StatusNotFound {
			t.Errorf("killing %q: %v", id, err)
		}
	}
}

func TestControlReloadsAndDrains(t *testing.T) {
	a := provider()
	r := serveControl(t, a)
	if err := r.Reload(bounded(t)); err == nil {
		t.Error("reloads what has nothing to reload")
	}
	broken := errors.New("cert.pem is not a certificate")
	a.Reload = func() error { return broken }
	if err := r.Reload(bounded(t)); err == nil || err.Error() != broken.Error() {
		t.Errorf("a reload that fails: %v", err)
	}
	broken = nil
	if err := r.Reload(bounded(t)); err != nil {
		t.Error(err)
	}
	drained := make(chan struct{})
	a.Drain = func() { close(drained) }
	if err := r.Drain(bounded(t)); err != nil {
		t.Error(err)
	}
	<-drained
}

func TestControlTellsOfEventsAsTheyCome(t *testing.T) {
	a := provider()
	a.Table.Event(live.Event{Kind: live.Notice, Text: "one"})
	r := serveControl(t, a)
	e, err := r.Events(bounded(t), 0, 0)
	if err != nil || len(e.Events) != 1 || e.Events[0].Text != "one" {
		t.Fatalf("%+v, %v", e, err)
	}
	if e, err := r.Events(bounded(t), 1, 10*time.Millisecond); err != nil || len(e.Events) != 0 {
		t.Fatalf("after the wait: %+v, %v", e, err)
	}
	come := make(chan admin.Events)
	go func() {
		e, _ := r.Events(bounded(t), 1, time.Minute)
		come <- e
	}()
	a.Table.Event(live.Event{Kind: live.Notice, Text: "two"})
	select {
	case e := <-come:
		if len(e.Events) != 1 || e.Events[0].Text != "two" || e.Events[0].ID != 2 {
			t.Errorf("%+v", e)
		}
	case <-time.After(patience):
		t.Fatal("the event did not come")
	}
}

// Close does not wait for those who wait.
func TestControlClosesUnderOneWhoWaits(t *testing.T) {
	path := shortDir(t) + "/s"
	l, err := admin.Listen(path, false)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c := &admin.Control{Ambassador: provider()}
	served := make(chan error, 1)
	go func() { served <- c.Serve(l) }()
	r := admin.At(path)
	defer r.Close()
	asked := make(chan error, 1)
	go func() {
		_, err := r.Events(context.Background(), 0, time.Minute)
		asked <- err
	}()
	if _, err := r.Status(bounded(t), 0, 0); err != nil { // it serves by now
		t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	for what, ended := range map[string]chan error{"serving": served, "asking": asked} {
		select {
		case <-ended:
		case <-time.After(patience):
			t.Errorf("%s goes on after Close", what)
		}
	}
}

func TestControlRefusesWhatItDoesNotUnderstand(t *testing.T) {
	r := serveControl(t, provider())
	for _, c := range []struct {
		method, path, body string
		status             int
	}{
		{"GET", "/v1/status?max_age=tomorrow", "", 400},
		{"GET", "/v1/status?max_age=-1s", "", 400},
		{"GET", "/v1/status?max_age=10000h", "", 400},
		{"GET", "/v1/sessions?streams=perhaps", "", 400},
		{"GET", "/v1/events?after=x", "", 400},
		{"GET", "/v1/events?wait=2h", "", 400},
		{"GET", "/v2/status", "", 404},
		{"GET", "/v1/kill", "", 404},
		{"POST", "/v1/status", "", 404},
		{"GET", "/", "", 404},
		{"POST", "/v1/kill", "", 400},
		{"POST", "/v1/kill", "{", 400},
		{"POST", "/v1/kill", `{"name":"x"}`, 400},
		{"POST", "/v1/kill", `{"id":"` + strings.Repeat("1", 100<<10) + `"}`, 400},
		{"POST", "/v1/drain", "", 501},
	} {
		status, body := askRaw(t, r.Path(), c.method, c.path, c.body)
		var f admin.Failure
		if err := json.Unmarshal(body, &f); err != nil || status != c.status || f.Error == "" {
			t.Errorf("%s %s: %d %s, want %d with an error", c.method, c.path, status, body, c.status)
		}
	}
}

func askRaw(t *testing.T, path, method, target, body string) (status int, answer []byte) {
	t.Helper()
	tr := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return net.Dial("unix", path) }}
	defer tr.CloseIdleConnections()
	req, err := http.NewRequestWithContext(bounded(t), method, "http://x"+target, bytes.NewBufferString(body))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := tr.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err = io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, answer
}

// Those who hold connections and say nothing do not keep others out for good, and
// take no more places than there are.
func TestControlBoundsItsConnections(t *testing.T) {
	r := serveControl(t, provider())
	var held []net.Conn
	defer func() {
		for _, c := range held {
			c.Close()
		}
	}()
	for range 64 + 6 {
		held = append(held, dialSocket(t, r.Path()))
	}
	began := time.Now()
	_, err := r.Status(bounded(t), 0, 0)
	if refused := (*admin.RefusedError)(nil); !errors.As(err, &refused) || refused.Status != http.StatusServiceUnavailable || !strings.Contains(err.Error(), "too many are asking: the ambassador answers 64 connections at a time") {
		t.Errorf("one too many, after %v: %v", time.Since(began), err)
	}
	for range 30 {
		held = append(held, dialSocket(t, r.Path()))
	}
	// The last ones are closed at once: there is no place for them.
	last := held[len(held)-1]
	last.SetReadDeadline(time.Now().Add(patience))
	if _, err := last.Read(make([]byte, 1)); err == nil || errors.Is(err, context.DeadlineExceeded) || isTimeout(err) {
		t.Errorf("connection %d was not closed: %v", len(held), err)
	}
	for _, c := range held[:10] {
		c.Close()
	}
	within(t, func() bool {
		_, err := r.Status(bounded(t), 0, 0)
		return err == nil
	})
}

// The kernel names a socket as it was made: what is said of one that closes without
// an answer names the path that there is.
func TestRemoteNamesTheSocketsOwnPath(t *testing.T) {
	path := filepath.Join(shortDir(t), "s")
	l, err := admin.Listen(path, false)
	if err != nil {
		t.Fatal(err)
	}
	closing := make(chan struct{})
	go func() {
		defer close(closing)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			c.Close()
		}
	}()
	r := admin.At(path)
	_, err = r.Status(bounded(t), 0, 0)
	if err == nil || strings.Contains(err.Error(), path+".new") || !strings.HasSuffix(err.Error(), "(it answers 64 connections at a time): ask again later") {
		t.Errorf("%v", err)
	}
	r.Close()
	l.Close()
	<-closing
}

func dialSocket(t *testing.T, path string) net.Conn {
	t.Helper()
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// within asks until it is so.
func within(t *testing.T, so func() bool) {
	t.Helper()
	for over := time.Now().Add(patience); !so(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(over) {
			t.Fatalf("not within %v", patience)
		}
	}
}

// BenchmarkTenThousandSessions is the document that grows most, asked for and read
// over the socket.
func BenchmarkTenThousandSessions(b *testing.B) {
	a := provider()
	for i := range 10_000 {
		peer := "spiffe://ambassador/client/client-" + strconv.Itoa(i)
		s := a.Table.OpenSession(peer, "v1.2.3", carrier{remote: "10.1.2.3:45678"}, func() {})
		st := a.Table.OpenStream(peer, "redis", 6379, "192.168.1.52:50000", "")
		st.On(s, 1)
		st.Carry(&relayed{in: 123456, out: 9876543})
	}
	path := b.TempDir() + "/s"
	l, err := admin.Listen(path, false)
	if err != nil {
		b.Fatal(err)
	}
	c := &admin.Control{Ambassador: a}
	served := make(chan error, 1)
	go func() { served <- c.Serve(l) }()
	defer func() {
		c.Close()
		<-served
		l.Close()
	}()
	r := admin.At(path)
	defer r.Close()
	for name, f := range map[string]admin.Filter{"sessions": {}, "with-streams": {Streams: true}} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if d, err := r.Sessions(context.Background(), f); err != nil || len(d.Sessions) != 10_000 {
					b.Fatal(len(d.Sessions), err)
				}
			}
		})
	}
}
