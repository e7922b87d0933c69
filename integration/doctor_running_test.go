package integration

import (
	"net"
	"slices"
	"strings"
	"testing"
)

// An ambassador that runs here tells doctor what no flag says.
func TestDoctorAsksTheAmbassadorThatRuns(t *testing.T) {
	t.Parallel()
	echo := newEcho(t)
	p := startPair(t, echo, pairOptions{})
	_, port, _ := net.SplitHostPort(echo)
	provider := strings.TrimSuffix(p.state, "client") + "provider"

	t.Run("provider", func(t *testing.T) {
		e := examine(t, nil, "--state-dir", provider)
		if failed := e.verdicts("failed"); e.Side != "provider" || len(failed) > 0 {
			t.Fatalf("%+v", e)
		}
		e.says(t, "link", "backend", "offered by the provider that runs here")
		e.says(t, "backend-dial", "backend:"+port, "takes connections")
		e.says(t, "listen", p.provider.address(), "held by the ambassador that runs here")
		e.says(t, "running", "", "provider (pid ")
	})
	t.Run("client", func(t *testing.T) {
		e := examine(t, nil, "--state-dir", p.state)
		if e.Side != "client" || !e.Healthy {
			t.Fatalf("%+v", e)
		}
		e.says(t, "expose", p.entry+"=backend:"+port, "from the client that runs here")
		e.says(t, "round-trip", "backend:"+port, "answered")
		e.says(t, "local-port", p.entry, "held by the ambassador that runs here")
		e.says(t, "running", "", "client (pid ")
	})
	t.Run("client-without-a-provider", func(t *testing.T) {
		p.provider.cmd.Process.Kill()
		<-p.provider.done
		p.client.waitLog("session with the provider lost, connecting again")
		e := examine(t, nil, "--state-dir", p.state)
		// The carrier stands between, and takes connections.
		if failed := e.verdicts("failed"); len(failed) != 1 || failed[0] != "tls" && failed[0] != "provider-dial" || !slices.Contains(e.verdicts("warning"), "running") {
			t.Errorf("%+v", e)
		}
	})
}

// says expects a check to have come out with some words.
func (e examination) says(t *testing.T, check, about, found string) {
	t.Helper()
	for _, c := range e.Checks {
		if c.Check == check && c.About == about && strings.Contains(c.Found, found) {
			return
		}
	}
	t.Errorf("no %s %s with %q: %+v", check, about, found, e)
}
