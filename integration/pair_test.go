package integration

import (
	"net"
	"path/filepath"
	"strings"
	"testing"
)

// pair is a provider and a client, joined by a carrier that tests can cut.
type pair struct {
	provider *process
	client   *process
	carrier  *carrier
	entry    string // the consumer's address
	state    string // the client's state directory

	providerState string // the provider's
}

type pairOptions struct {
	serve   []string // further arguments of serve
	connect []string // further arguments of connect
	links   []string // granted to the client; if none, all
}

// startPair joins the backend at addr with a local port through two real
// processes.
func startPair(t *testing.T, backend string, o pairOptions) *pair {
	t.Helper()
	dir := t.TempDir()
	provider, client := filepath.Join(dir, "provider"), filepath.Join(dir, "client")
	issue(t, provider, client, o.links...)

	_, port, err := net.SplitHostPort(backend)
	if err != nil {
		t.Fatal(err)
	}
	p := &pair{state: client, providerState: provider, provider: startProvider(t, provider, append([]string{"--link", "backend=" + backend}, o.serve...)...)}
	p.carrier = newCarrier(t, p.provider.address())
	p.entry = "127.0.0.1:" + freePort(t)
	p.client = run(t, nil, append([]string{
		"connect", p.carrier.addr(), "--state-dir", client,
		"--expose", p.entry + "=backend:" + port,
	}, o.connect...)...)
	p.client.waitLog("connected to the provider")
	return p
}

// issue makes a CA for the provider and a certificate for a client.
func issue(t *testing.T, provider, client string, links ...string) {
	t.Helper()
	issueTo(t, "tester", provider, client, links...)
}

// issueTo does it for a client of that name.
func issueTo(t *testing.T, name, provider, client string, links ...string) {
	t.Helper()
	args := []string{"certs", "issue", name, "--state-dir", provider, "--out", client}
	for _, l := range links {
		args = append(args, "--link", l)
	}
	if code, _, stderr := once(t, nil, args...); code != 0 {
		t.Fatalf("certs issue: exit %d: %s", code, stderr)
	}
}

func startProvider(t *testing.T, stateDir string, args ...string) *process {
	t.Helper()
	p := run(t, nil, append([]string{"serve", "--listen", "127.0.0.1:0", "--state-dir", stateDir}, args...)...)
	p.waitLog("serving")
	return p
}

// address is where a provider said that it listens.
func (p *process) address() string {
	p.t.Helper()
	a, ok := p.waitLog("serving")["address"].(string)
	if !ok || !strings.Contains(a, ":") {
		p.t.Fatalf("no address in the log line: %q", a)
	}
	return a
}
