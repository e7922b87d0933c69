package admin

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"ambassador/internal/live"

	"github.com/prometheus/client_golang/prometheus/testutil"
	dto "github.com/prometheus/client_model/go"
)

const (
	big = "spiffe://ambassador/provider/big"
	web = "spiffe://ambassador/client/web"
	off = "spiffe://ambassador/client/off"
)

// line is a session's carrier.
type line struct{}

func (line) RTT() time.Duration     { return 20 * time.Millisecond }
func (line) Silence() time.Duration { return 0 }
func (line) RemoteAddr() net.Addr   { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 7), Port: 4711} }
func (line) LocalAddr() net.Addr    { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 7000} }

// flow is a stream that is under way.
type flow struct{ in, out int64 }

func (f flow) Bytes() (in, out int64) { return f.in, f.out }
func (flow) Abort(string)             {}

// provider is one with a bit of everything.
func provider() *Ambassador {
	day := 24 * time.Hour
	start := time.Unix(1_700_000_000, 0)
	a := &Ambassador{
		Role: RoleProvider, Started: start, Table: &live.Table{},
		Build: Build{Version: "v1.2.3", Commit: "0123abc", Go: "go1.26"},
		Facts: func() Facts {
			return Facts{
				Links: []LinkFacts{
					{Name: "redis", Ports: []PortFacts{{Number: 6379}}},
					{Name: "mq", Ports: []PortFacts{{Number: 5672}, {Number: 15672}}},
				},
				Peers: []PeerFacts{
					{Identity: web, Links: []string{"redis"}, NotAfter: start.Add(30 * day)},
					{Identity: off, Links: []string{"*"}, NotAfter: start.Add(20 * day)},
					{Identity: "spiffe://ambassador/client/gone", Revoked: true},
				},
				Certificates: []Certificate{
					{Name: "leaf", NotAfter: start.Add(10 * day), Error: "the disk is full"},
					{Name: "issuer", NotAfter: start.Add(100 * day)},
					{Name: "root", NotAfter: start.Add(1000 * day)},
				},
			}
		},
	}
	session := a.Table.OpenSession(web, "v1", line{}, func() {})
	a.Table.OpenSession(off, "v1", line{}, func() {}).End(nil)
	running := a.Table.OpenStream(web, "redis", 6379, "127.0.0.1:1", "")
	running.On(session, 1)
	running.Connected(nil, time.Second/256)
	running.Carry(flow{in: 100, out: 2000})
	done := a.Table.OpenStream(web, "redis", 6379, "127.0.0.1:2", "")
	done.Connected(nil, time.Second/32)
	done.Carry(flow{in: 1, out: 2})
	done.End(live.BackendReset)
	other := a.Table.OpenStream(off, "redis", 6379, "127.0.0.1:2", "")
	other.Connected(nil, time.Second/256)
	other.End(live.SessionLost)
	a.Table.OpenStream(web, "made-up", 1, "127.0.0.1:3", "").End(live.NotGranted)
	a.Table.Dialled("redis", 6379, live.Running, time.Now(), time.Millisecond)
	a.Table.Dialled("mq", 5672, live.Running, time.Now(), time.Millisecond)
	a.Table.Dialled("mq", 15672, live.BackendRefused, time.Now(), time.Millisecond)
	a.Table.HandshakeRefused(live.RefusedCertificate)
	return a
}

func client() *Ambassador {
	return &Ambassador{Role: RoleClient, Table: &live.Table{}, Started: time.Now(), Facts: func() Facts {
		return Facts{Tunnel: "connection refused", Links: []LinkFacts{{Name: "redis", Ports: []PortFacts{{Number: 6379}}}}}
	}}
}

func get(t *testing.T, a *Ambassador, path string) (status int, body string) {
	t.Helper()
	w := httptest.NewRecorder()
	a.Scraped().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil))
	return w.Code, w.Body.String()
}

// shows says which of the lines are not among the metrics.
func shows(t *testing.T, a *Ambassador, lines ...string) {
	t.Helper()
	status, body := get(t, a, "/metrics")
	if status != http.StatusOK {
		t.Fatalf("status %d: %s", status, body)
	}
	all := strings.Split(body, "\n")
	for _, want := range lines {
		if !slices.Contains(all, want) {
			t.Errorf("no line %q", want)
		}
	}
	if t.Failed() {
		t.Log(body)
	}
}

func TestMetricsSayWhatTheTableKnows(t *testing.T) {
	shows(
		t, provider(),
		`ambassador_build_info{goversion="go1.26",revision="0123abc",role="provider",version="v1.2.3"} 1`,
		`ambassador_ready 0`,
		`ambassador_draining 0`,
		`ambassador_link_up{link="redis"} 1`,
		`ambassador_link_up{link="mq"} 0`,
		`ambassador_link_ports{link="mq"} 2`,
		`ambassador_link_ports_up{link="mq"} 1`,
		`ambassador_sessions{peer="`+web+`"} 1`,
		`ambassador_sessions{peer="`+off+`"} 0`,
		`ambassador_sessions_opened_total 2`,
		`ambassador_session_duration_seconds_count 1`,
		`ambassador_session_rtt_seconds{peer="`+web+`"} 0.02`,
		`ambassador_streams{link="redis",peer="`+web+`"} 1`,
		`ambassador_streams_opened_total{link="redis",peer="`+web+`"} 2`,
		`ambassador_streams_ended_total{link="redis",reason="backend-reset"} 1`,
		`ambassador_streams_ended_total{link="redis",reason="consumer-reset"} 0`,
		`ambassador_streams_ended_total{link="mq",reason="backend-refused"} 0`,
		`ambassador_in_bytes_total{link="redis",peer="`+web+`"} 101`,
		`ambassador_out_bytes_total{link="redis",peer="`+web+`"} 2002`,
		`ambassador_dial_duration_seconds_bucket{link="redis",le="0.0025"} 0`,
		`ambassador_dial_duration_seconds_bucket{link="redis",le="0.005"} 2`,
		`ambassador_dial_duration_seconds_bucket{link="redis",le="0.05"} 3`,
		`ambassador_dial_duration_seconds_bucket{link="redis",le="+Inf"} 3`,
		`ambassador_dial_duration_seconds_sum{link="redis"} 0.0390625`,
		`ambassador_dial_duration_seconds_count{link="mq"} 0`,
		`ambassador_certificate_not_after_timestamp_seconds 1.700864e+09`,
		`ambassador_issuer_not_after_timestamp_seconds 1.70864e+09`,
		`ambassador_root_not_after_timestamp_seconds 1.7864e+09`,
		`ambassador_certificate_renewal_failed 1`,
		`ambassador_peer_certificate_not_after_timestamp_seconds{peer="`+web+`"} 1.702592e+09`,
		`ambassador_last_reload_successful 1`,
		`ambassador_last_reload_timestamp_seconds 1.7e+09`,
		`ambassador_handshakes_refused_total{reason="certificate"} 1`,
		`ambassador_handshakes_refused_total{reason="timeout"} 0`,
	)
}

// What a client does first is a rise, if it is there before: that of one which may
// use a link and has not yet. Who is away takes no series.
func TestCountersBeginBeforeTheFirstStream(t *testing.T) {
	a := provider()
	a.Table.OpenSession(off, "v1", line{}, func() {})
	opened := `ambassador_streams_opened_total{link="mq",peer="`
	shows(t, a, opened+off+`"} 0`)
	if _, body := get(t, provider(), "/metrics"); strings.Contains(body, opened) {
		t.Error("a client that is away has series of links that it has not used")
	}
}

func TestMetricsOfAClientWithoutSession(t *testing.T) {
	shows(
		t, client(),
		`ambassador_tunnel_up 0`,
		`ambassador_link_up{link="redis"} 0`,
		`ambassador_sessions_opened_total 0`,
	)
}

func TestMetricsOfAForwarderSpeakOfNoTunnel(t *testing.T) {
	a := &Ambassador{Role: RoleForwarder, Table: &live.Table{}}
	a.Table.OpenStream("", "redis", 6379, "127.0.0.1:1", "127.0.0.1:6379").End(live.ConsumerClosed)
	shows(t, a, `ambassador_streams_ended_total{link="redis",reason="consumer-closed"} 1`)
	_, body := get(t, a, "/metrics")
	for _, of := range []string{"session", "tunnel", "handshake", "certificate", "peer"} {
		if strings.Contains(body, "ambassador_"+of) {
			t.Errorf("a forwarder has ambassador_%s…:\n%s", of, body)
		}
	}
}

// A client names links as it likes: that must not become a series for each.
func TestNamesThatClientsMakeUpAreNoLabels(t *testing.T) {
	a := provider()
	for i := range 100 {
		a.Table.OpenStream(web, fmt.Sprintf("made-up-%d", i), 1, "127.0.0.1:3", "").End(live.NotGranted)
	}
	shows(
		t, a,
		`ambassador_streams_ended_total{link="",reason="not-granted"} 101`,
		`ambassador_streams_opened_total{link="",peer="`+web+`"} 101`,
	)
	if _, body := get(t, a, "/metrics"); strings.Contains(body, "made-up") {
		t.Error("a name that a client made up is a label")
	}
}

// What a client on the way to its provider has waiting is counted for that one.
func TestNoCounterGoesBack(t *testing.T) {
	a := client()
	a.Facts = func() Facts {
		return Facts{Links: []LinkFacts{{Name: "redis"}}, Peers: []PeerFacts{{Identity: big}}}
	}
	waiting := a.Table.OpenStream("", "redis", 6379, "127.0.0.1:1", "127.0.0.1:6379")
	want := `ambassador_streams_opened_total{link="redis",peer="` + big + `"} 1`
	shows(t, a, want)
	waiting.On(a.Table.OpenSession(big, "v1", line{}, func() {}), 1)
	shows(t, a, want)
}

func TestAScrapeDoesNotWaitForABackend(t *testing.T) {
	a := provider()
	a.Check = func(ctx context.Context, _ time.Duration) error {
		<-ctx.Done()
		return ctx.Err()
	}
	start := time.Now()
	for _, path := range []string{"/metrics", "/readyz"} {
		get(t, a, path)
	}
	if took := time.Since(start); took > 4*time.Second {
		t.Errorf("took %v", took)
	}
}

// families as Prometheus sees them, of every role together.
func gathered(t *testing.T) map[string]*dto.MetricFamily {
	t.Helper()
	all := make(map[string]*dto.MetricFamily)
	for _, a := range []*Ambassador{provider(), client()} {
		got, err := a.registry().Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range got {
			if strings.HasPrefix(f.GetName(), "ambassador_") {
				all[f.GetName()] = f
			}
		}
	}
	if len(all) != len(families) {
		t.Errorf("%d metrics are shown, and %d are there: the ambassadors of this test lack something", len(all), len(families))
	}
	return all
}

func TestMetricsFollowPrometheusRules(t *testing.T) {
	for role, a := range map[string]*Ambassador{RoleProvider: provider(), RoleClient: client()} {
		problems, err := testutil.GatherAndLint(a.registry())
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range problems {
			t.Errorf("%s: %s: %s", role, p.Metric, p.Text)
		}
	}
}

func TestLabelsAreBounded(t *testing.T) {
	for _, f := range families {
		for _, l := range f.labels {
			if f.name != "build_info" && !slices.Contains([]string{"link", "peer", "reason"}, l) {
				t.Errorf("%s has a label %s", f.name, l)
			}
		}
	}
}

var row = regexp.MustCompile("(?m)^\\| `(ambassador_[a-z_]+)` \\| (\\w+) \\| ([^|]*) \\| (.*) \\|$")

// docs/metrics.md lists what there is, in the words that Prometheus shows.
func TestMetricsAreDocumented(t *testing.T) {
	text, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := make(map[string]string)
	for _, m := range row.FindAllStringSubmatch(string(text), -1) {
		documented[m[1]] = m[0]
	}
	kinds := gathered(t)
	for i := range families {
		f := &families[i]
		name := "ambassador_" + f.name
		labels := ""
		if len(f.labels) > 0 {
			labels = "`" + strings.Join(f.labels, "`, `") + "`"
		}
		want := fmt.Sprintf("| `%s` | %s | %s | %s |", name, strings.ToLower(kinds[name].GetType().String()), labels, strings.TrimSuffix(f.help, "."))
		if documented[name] != want {
			t.Errorf("docs/metrics.md says\n%s\nand not\n%s", documented[name], want)
		}
		delete(documented, name)
	}
	for name := range documented {
		t.Errorf("docs/metrics.md has %s, which there is none of", name)
	}
}

var metricName = regexp.MustCompile(`ambassador_[a-z_]+`)

// What operators copy shows no empty panel, and no alert that cannot fire.
func TestDeployedMetricsExist(t *testing.T) {
	kinds := gathered(t)
	for _, path := range []string{"prometheus/alerts.yml", "grafana/ambassador.json"} {
		text, err := os.ReadFile(filepath.Join("../../deploy", path))
		if err != nil {
			t.Fatal(err)
		}
		names := make(map[string]bool)
		for _, name := range metricName.FindAllString(string(text), -1) {
			for _, suffix := range []string{"_bucket", "_sum", "_count"} {
				if base, is := strings.CutSuffix(name, suffix); is && kinds[base].GetType() == dto.MetricType_HISTOGRAM {
					name = base
				}
			}
			names[name] = true
		}
		if len(names) < 5 {
			t.Errorf("%s has %d metrics", path, len(names))
		}
		for name := range maps.Keys(names) {
			if kinds[name] == nil {
				t.Errorf("%s has %s, which there is none of", path, name)
			}
		}
	}
}

// Reasons that alerts and panels look for are those of the two vocabularies.
func TestDeployedReasonsExist(t *testing.T) {
	words := slices.Clone(live.HandshakeWords)
	for r := range live.Reasons {
		words = append(words, r.String())
	}
	for _, path := range []string{"prometheus/alerts.yml", "grafana/ambassador.json"} {
		text, err := os.ReadFile(filepath.Join("../../deploy", path))
		if err != nil {
			t.Fatal(err)
		}
		found := regexp.MustCompile(`reason[!=]~\\?"([^"\\]+)`).FindAllSubmatch(text, -1)
		if len(found) == 0 {
			t.Errorf("%s looks for no reason", path)
		}
		for _, m := range found {
			for word := range bytes.SplitSeq(m[1], []byte("|")) {
				if !slices.Contains(words, string(word)) {
					t.Errorf("%s looks for the reason %s, which there is none of", path, word)
				}
			}
		}
	}
}
