package integration

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"ambassador/internal/admin"
	"ambassador/internal/live"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// dashboardURL is where a process said that its dashboard is.
func (p *process) dashboardURL() string {
	p.t.Helper()
	return p.waitLog("dashboard open")["url"].(string)
}

// open shows a dashboard and waits until it is fed.
func (b *browser) open(url string) {
	b.t.Helper()
	b.do(chromedp.Navigate(url))
	b.until(patience, `document.body.dataset.feed === "live"`)
}

// cell is a number in the row of a table that a heading names.
func (b *browser) cell(table, row, column string) int64 {
	b.t.Helper()
	return eval[int64](b, fmt.Sprintf(`Number(document.querySelector('#%s tr[data-key="%s"] [data-label="%s"]')?.dataset.value ?? -1)`, table, row, column))
}

// status is what the command says.
func status(t *testing.T, stateDir string) (s admin.Status) {
	t.Helper()
	_, stdout, stderr := once(t, nil, "status", "-o", "json", "--state-dir", stateDir)
	if err := json.Unmarshal([]byte(stdout), &s); err != nil {
		t.Fatalf("status: %v: %s%s", err, stdout, stderr)
	}
	return s
}

// keep saves a picture of the page with the test's artefacts (go test -artifacts).
func (b *browser) keep(name string) {
	b.t.Helper()
	if err := os.WriteFile(filepath.Join(b.t.ArtifactDir(), name), b.picture(), 0o644); err != nil {
		b.t.Fatal(err)
	}
}

// transfer has a consumer fetch a value again and again until stop.
func transfer(t *testing.T, entry string) (stop func()) {
	t.Helper()
	if _, err := cli(t, entry, "SET", "value", strings.Repeat("x", 100_000)); err != nil {
		t.Fatal(err)
	}
	c, err := net.Dial("tcp", entry)
	if err != nil {
		t.Fatal(err)
	}
	stopped := make(chan struct{})
	var done sync.WaitGroup
	done.Go(func() {
		answer := make([]byte, len("$100000\r\n")+100_000+len("\r\n"))
		for {
			select {
			case <-stopped:
				return
			case <-time.After(20 * time.Millisecond): // so much and no more: 5 MB/s
			}
			if _, err := io.WriteString(c, "GET value\r\n"); err != nil {
				return
			}
			if _, err := io.ReadFull(c, answer); err != nil {
				return
			}
		}
	})
	stop = sync.OnceFunc(func() {
		close(stopped)
		done.Wait()
	})
	t.Cleanup(func() {
		stop()
		c.Close()
	})
	return stop
}

func TestDashboardInABrowser(t *testing.T) {
	b := startBrowser(t)
	r := startRedis(t)
	ui := []string{"--ui-addr", "127.0.0.1:0"}
	p := startPair(t, r.addr(), pairOptions{serve: ui, connect: ui})
	provider := filepath.Join(filepath.Dir(p.state), "provider")
	stop := transfer(t, p.entry)
	b.size(1280, 900)
	b.dark(false)
	b.open(p.provider.dashboardURL())

	carried := func() int64 { return b.cell("links", "backend", "From backend") }
	t.Run("numbers-move-and-agree-with-status", func(t *testing.T) {
		b.until(patience, `document.querySelector('#links tr[data-key="backend"] .badge').dataset.state === "up"`)
		first := carried()
		eventually(t, patience, func() error {
			if now := carried(); now < first+500_000 {
				return fmt.Errorf("%d bytes, then %d", first, now)
			}
			return nil
		})
		asked := status(t, provider).Links[0].BytesOut
		eventually(t, patience, func() error {
			if now := carried(); now < asked {
				return fmt.Errorf("%d bytes on the page, %d in the status before", now, asked)
			}
			return nil
		})
		if page, asked := carried(), status(t, provider).Links[0].BytesOut; page > asked {
			t.Errorf("%d bytes on the page, %d in the status after", page, asked)
		}
		if streams := b.cell("links", "backend", "Streams"); streams != 1 {
			t.Errorf("%d streams, want 1", streams)
		}
		if rate := eval[string](b, `document.querySelector('#streams [data-label="Rate"]').textContent`); !strings.Contains(rate, "MiB/s") {
			t.Errorf("the stream's rate is %q", rate)
		}
	})
	t.Run("looks-well-on-a-screen-and-on-a-phone", func(t *testing.T) {
		b.until(2*patience, `document.querySelector('#throughput-legend b')?.textContent.includes("MiB/s")`)
		for _, dark := range []bool{false, true} {
			for _, width := range []int64{1280, 400} {
				b.dark(dark)
				b.size(width, 900)
				b.until(patience, fmt.Sprintf(`Math.abs(document.querySelector("#picture svg").clientWidth - document.querySelector("#picture").clientWidth) < 2 && innerWidth === %d`, width))
				if wide := eval[int64](b, `document.documentElement.scrollWidth`); wide > width {
					t.Errorf("the page is %d wide on a screen of %d", wide, width)
				}
				cut := eval[[]string](b, `[...document.querySelectorAll("main *:not(svg *, .u-wrap *, thead *)")].filter((e) => e.getBoundingClientRect().right > innerWidth + 1).map((e) => e.tagName + "#" + e.id)`)
				if len(cut) > 0 {
					t.Errorf("at a width of %d these are cut off: %v", width, cut)
				}
				b.keep(fmt.Sprintf("dashboard-%d-%s.png", width, map[bool]string{false: "light", true: "dark"}[dark]))
			}
		}
		b.size(1280, 900)
	})
	t.Run("works-by-keyboard", func(t *testing.T) { reachByKeyboard(t, b) })
	t.Run("says-the-same-as-status", func(t *testing.T) {
		stop()
		eventually(t, patience, func() error {
			want := status(t, provider)
			page := eval[string](b, `document.getElementById("verdict-text").textContent`)
			if page != want.Verdict || carried() != want.Links[0].BytesOut || b.cell("links", "backend", "Opened") != int64(want.Links[0].Opened) {
				return fmt.Errorf("%q, %d bytes on the page; %q, %d bytes in the status", page, carried(), want.Verdict, want.Links[0].BytesOut)
			}
			return nil
		})
	})
	t.Run("a-stopped-backend-shows-within-two-seconds", func(t *testing.T) {
		const changed = `document.querySelector('#links tr[data-key="backend"] .badge').dataset.state === "degraded" && document.getElementById("verdict").dataset.state === "degraded"`
		for name, process := range map[string]*process{"provider": p.provider, "client": p.client} {
			b.open(process.dashboardURL())
			b.until(patience, `document.querySelector('#links tr[data-key="backend"] .badge').dataset.state === "up"`)
			r.stop()
			stopped := time.Now()
			b.until(2*time.Second, changed)
			t.Logf("the %s's page shows it after %v", name, time.Since(stopped).Round(10*time.Millisecond))
			if words := eval[string](b, `document.getElementById("verdict-text").textContent`); !strings.Contains(words, "backend refused") {
				t.Errorf("the %s's verdict is %q", name, words)
			}
			r.start()
			b.until(patience, `document.getElementById("verdict").dataset.state === "up"`)
		}
	})
	b.clean(strings.TrimSuffix(p.provider.dashboardURL(), "/"), strings.TrimSuffix(p.client.dashboardURL(), "/"))
	t.Run("a-lost-ambassador-does-not-look-well", func(t *testing.T) {
		b.open(p.provider.dashboardURL())
		b.until(patience, `document.getElementById("verdict").dataset.state === "up"`)
		p.provider.cmd.Process.Kill()
		b.until(5*time.Second, `document.body.dataset.feed === "disconnected"`)
		if words := eval[string](b, `document.getElementById("verdict-text").textContent`); !strings.HasPrefix(words, "Lost") {
			t.Errorf("the verdict is %q", words)
		}
		if filter := eval[string](b, `getComputedStyle(document.getElementById("links").closest("section")).filter`); filter != "grayscale(1)" {
			t.Errorf("what is old is shown with the filter %q", filter)
		}
		if title := eval[string](b, `document.title`); !strings.Contains(title, "lost") {
			t.Errorf("the title is %q", title)
		}
	})
}

// reachByKeyboard goes through the page with Tab, and uses what can be used.
func reachByKeyboard(t *testing.T, b *browser) {
	eval[bool](b, `document.activeElement.blur() ?? true`)
	var reached []string
	for range 14 {
		b.do(chromedp.KeyEvent(kb.Tab))
		focus := eval[struct {
			Name    string
			Outline string
		}](b, `(() => {
			const e = document.activeElement;
			return {Name: e.id || e.className || e.getAttribute("href") || e.tagName, Outline: getComputedStyle(e).outlineStyle};
		})()`)
		if focus.Name == "BODY" {
			break
		}
		if focus.Outline == "none" {
			t.Errorf("the focus on %s cannot be seen", focus.Name)
		}
		reached = append(reached, focus.Name)
	}
	for _, want := range []string{"skip", "pause", "theme", "chart-link", "scroll", "events-scroll", "uplot/LICENSE"} {
		if !strings.Contains(" "+strings.Join(reached, " ")+" ", " "+want+" ") {
			t.Errorf("%s is not reached by Tab, only %v", want, reached)
		}
	}
	b.do(chromedp.Focus(chromedp.ID("theme")), chromedp.KeyEvent(kb.Enter), chromedp.KeyEvent(kb.Enter))
	if theme := eval[string](b, `document.documentElement.dataset.theme`); theme != "dark" {
		t.Errorf("the theme is %q after two steps from auto", theme)
	}
	b.do(chromedp.KeyEvent(kb.Enter))
	b.do(chromedp.Focus(chromedp.ID("pause")), chromedp.KeyEvent(" "))
	if pressed := eval[string](b, `document.getElementById("pause").getAttribute("aria-pressed")`); pressed != "true" {
		t.Errorf("Pause is pressed: %q", pressed)
	}
	b.do(chromedp.KeyEvent(" "))
}

func TestDashboardAsksWhenItIsNotFed(t *testing.T) {
	b := startBrowser(t)
	p := run(t, nil, "forward", "127.0.0.1", freePort(t), "--ui-addr", "127.0.0.1:0", "--control-socket", "off")
	url := p.dashboardURL()
	// So many pages are fed, and no more.
	client := http.Client{Transport: &http.Transport{}}
	t.Cleanup(client.CloseIdleConnections)
	var fed []io.Closer
	for range 16 {
		answer, err := client.Get(url + "feed")
		if err != nil || answer.StatusCode != http.StatusOK {
			t.Fatalf("%v, %v", answer, err)
		}
		fed = append(fed, answer.Body)
	}
	t.Cleanup(func() {
		for _, f := range fed {
			f.Close()
		}
	})
	b.do(chromedp.Navigate(url))
	b.until(patience, `document.body.dataset.feed === "polling"`)
	const shown = `document.getElementById("verdict-aside").textContent`
	before := eval[string](b, shown)
	b.until(patience, fmt.Sprintf(`%s !== %q`, shown, before))
	for _, f := range fed {
		f.Close()
	}
	fed = nil
	b.until(2*patience, `document.body.dataset.feed === "live"`)
}

// TestDashboardShowsHostileNamesAsText: whoever may choose a name or an address
// does not choose what the operator's browser does.
func TestDashboardShowsHostileNamesAsText(t *testing.T) {
	b := startBrowser(t)
	const evil = `"><img src=x onerror="document.title='owned'"><script>document.title='owned'</script><style>*{display:none}</style>&lt;`
	table := new(live.Table)
	table.OpenStream("spiffe://ambassador/client/"+evil, evil, 6379, evil, evil)
	table.Event(live.Event{Kind: live.Notice, Text: evil, Peer: evil, Reason: evil, Problem: true})
	d := &admin.Dashboard{Ambassador: &admin.Ambassador{
		Role: admin.RoleProvider, Build: admin.Build{Version: evil}, Table: table, Started: time.Now(),
		Facts: func() admin.Facts {
			return admin.Facts{
				Identity: evil, Provider: evil, Listen: []string{evil},
				Links:        []admin.LinkFacts{{Name: evil, Ports: []admin.PortFacts{{Number: 1, Backend: evil, Local: []string{evil}, Reason: evil}}}},
				Peers:        []admin.PeerFacts{{Identity: evil, Links: []string{evil}}},
				Certificates: []admin.Certificate{{Name: evil, Identity: evil, NotAfter: time.Now().Add(time.Hour), Error: evil}},
				Warnings:     []admin.Warning{{Text: evil, Fix: evil}},
			}
		},
	}}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- d.Serve(l) }()
	t.Cleanup(func() {
		d.Close()
		<-ended
	})
	origin := "http://" + l.Addr().String()
	b.open(origin + "/")
	b.until(patience, `document.querySelectorAll("#events li").length === 1 && document.querySelectorAll("#throughput-legend li").length === 1`)
	if made := eval[int](b, `document.querySelectorAll("main img, main script, main style, footer img, title img").length`); made != 0 {
		t.Errorf("names became %d elements", made)
	}
	if title := eval[string](b, `document.title`); title == "owned" {
		t.Error("a name has run as a script")
	}
	for _, place := range []string{"#links tbody th", "#peers tbody th", "#streams tbody td", "#events li", "#warnings li", "#picture", "#about", "#certificates tbody th", "#chart-link"} {
		if !eval[bool](b, fmt.Sprintf(`[...document.querySelectorAll(%q)].some((e) => /<img src|style>&lt;/.test(e.textContent))`, place)) {
			t.Errorf("%s does not show the name as it is", place)
		}
	}
	b.size(400, 900)
	b.until(patience, `innerWidth === 400`)
	if wide := eval[int](b, `document.documentElement.scrollWidth`); wide > 400 {
		t.Errorf("long names make the page %d wide", wide)
	}
	b.clean(origin)
}
