package integration

import (
	"fmt"
	"io"
	"net"
	"slices"
	"testing"
	"time"
)

// rapidResetP99 is what another client's requests may take under a flood, from one
// end of the flooded provider to the other. They took 10 to 25 ms, and 50 to 280
// without a bound for the goroutines of new streams.
const rapidResetP99 = 50 * time.Millisecond

// TestRapidReset: a client that opens streams and resets them at once, as fast as its
// session carries it, does not keep the others waiting (CVE-2023-44487 was this in
// HTTP/2).
func TestRapidReset(t *testing.T) {
	echo := newEcho(t)
	p := startPair(t, echo, pairOptions{serve: []string{"--log-level", "info"}})
	_, text, _ := net.SplitHostPort(echo)
	var port uint16
	fmt.Sscan(text, &port)
	request, connection := slowest(t, p.entry)
	t.Logf("alone: p99 of a request %v, of a connection %v", request, connection)

	flooder := rawClientOf(t, p.provider.address(), p.issueAnother(t, "flooder"), true)
	flooder.SetDeadline(time.Time{})
	poured := make(chan uint32, 1)
	go func() {
		for id := uint32(3); ; {
			var frames []byte
			for ; len(frames) < 16<<10; id += 2 {
				frames = append(append(frames, rawOpen(id, port)...), rawFrame(rawWindow, rawRST, id, 0)...)
			}
			if _, err := flooder.Write(frames); err != nil {
				poured <- id / 2
				return
			}
		}
	}()
	cpu, began := p.provider.cpu(), time.Now()
	request, connection = slowest(t, p.entry)
	used, took := p.provider.cpu()-cpu, time.Since(began)
	flooder.NetConn().Close()
	t.Logf("under the flood: p99 of a request %v, of a connection %v; %.0f streams a second, %.0f %% of a processor",
		request, connection, float64(<-poured)/took.Seconds(), 100*used.Seconds()/took.Seconds())
	if limit := rapidResetP99 * idleFactor; request > limit || connection > 2*limit {
		t.Errorf("another client's p99: %v for a request, want %v at most, and %v for a connection, want twice that", request, limit, connection)
	}
	p.provider.waitLog("client disconnected", "flooder")
	if lines := p.provider.loud(); lines > 30 {
		t.Errorf("%d lines above debug", lines)
	}
	if n := p.provider.goroutines(); n > quietGoroutines {
		t.Errorf("%d goroutines", n)
	}
}

// issueAnother makes a certificate for another client of the pair's provider.
func (p *pair) issueAnother(t *testing.T, name string) (state string) {
	t.Helper()
	state = t.TempDir() + "/" + name
	if code, _, stderr := once(t, nil, "certs", "issue", name, "--state-dir", p.providerState, "--out", state); code != 0 {
		t.Fatalf("certs issue: exit %d: %s", code, stderr)
	}
	return state
}

// slowest is the 99th percentile of requests over one connection, and of connections
// that are made, used and ended.
func slowest(t *testing.T, entry string) (request, connection time.Duration) {
	t.Helper()
	c, err := net.DialTimeout("tcp", entry, patience)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	word := random(64)
	request = p99(t, 1000, func() error {
		c.SetDeadline(time.Now().Add(patience))
		if _, err := c.Write(word); err != nil {
			return err
		}
		_, err := io.ReadFull(c, word)
		return err
	})
	return request, p99(t, 300, func() error { return visit(entry, word) })
}

func p99(t *testing.T, n int, do func() error) time.Duration {
	t.Helper()
	all := make([]time.Duration, n)
	for i := range all {
		began := time.Now()
		if err := do(); err != nil {
			t.Fatal(err)
		}
		all[i] = time.Since(began)
	}
	slices.Sort(all)
	return all[n*99/100]
}
