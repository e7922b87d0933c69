package integration

import (
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"ambassador/certs"
	"ambassador/client"
	"ambassador/internal/link"
)

// TestManyClientsAfterARestart: 500 clients lose their provider, and all have a
// session within 30 s of its return, at times of their own.
func TestManyClientsAfterARestart(t *testing.T) {
	const clients = 500
	echo := newEcho(t)
	dir := t.TempDir()
	issue(t, dir+"/provider", dir+"/client")
	provider := startProvider(t, dir+"/provider", "--link", "backend="+echo)
	address := provider.address()
	config, err := certs.ClientConfig(certs.StateFiles(dir+"/client"), "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	// In this process: five hundred of them under the race detector would fill the
	// machine's memory.
	var running sync.WaitGroup
	t.Cleanup(running.Wait) // runs after the clients are closed
	for range clients {
		c := &client.Client{
			Provider: address, TLSConfig: config, Expose: []link.Expose{{Link: "backend"}},
			Listen: func(network, _ string) (net.Listener, error) { return net.Listen(network, "127.0.0.1:0") },
		}
		running.Go(func() { c.ListenAndServe() })
		t.Cleanup(func() { c.Close() })
	}
	connected := func(p *process) error {
		if n := p.count("client connected"); n < clients {
			return fmt.Errorf("%d of %d clients are connected", n, clients)
		}
		return nil
	}
	eventually(t, 30*time.Second, func() error { return connected(provider) })

	provider.signal(syscall.SIGKILL)
	<-provider.done
	<-time.After(2 * time.Second) // the pauses have grown to some seconds
	next := run(t, nil, "serve", "--listen", address, "--state-dir", dir+"/provider", "--link", "backend="+echo)
	next.waitLog("serving")
	began, used := time.Now(), next.cpu()
	took := eventually(t, 30*time.Second, func() error { return connected(next) })
	spent := next.cpu() - used
	when := arrivals(t, next)
	t.Logf("%d clients are back after %v: half of them after %v; %v of processor time", clients, took, when[clients/2].Sub(began), spent)
	if limit := clients * 20 * time.Millisecond * idleFactor; spent > limit {
		t.Errorf("%v of processor time, more than %v", spent, limit)
	}
	// Without jitter all would come in the same moment.
	for i := range clients - clients/2 {
		if d := when[i+clients/2].Sub(when[i]); d < 100*time.Millisecond {
			t.Errorf("half of the clients came within %v", d)
			break
		}
	}
}

// arrivals are the times at which clients connected, in order.
func arrivals(t *testing.T, p *process) []time.Time {
	t.Helper()
	var all []time.Time
	for line := range strings.Lines(p.log()) {
		if l, ok := match(line, "client connected", nil); ok {
			at, err := time.Parse(time.RFC3339, fmt.Sprint(l["ts"]))
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, at)
		}
	}
	slices.SortFunc(all, time.Time.Compare)
	return all
}
