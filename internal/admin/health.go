package admin

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/pprof"
)

// Scraped is what --metrics-addr serves: /metrics for Prometheus, /livez and
// /readyz for whoever starts and stops ambassadors. It needs no certificate and
// changes nothing. The profiles of the Go runtime are not there: see [Profiles].
func (a *Ambassador) Scraped() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", a.metrics())
	mux.HandleFunc("GET /livez", a.livez)
	mux.HandleFunc("GET /readyz", a.readyz)
	return scrapeGuard{mux}
}

// livez answers as long as the ambassador can be looked at: what hangs with a lock
// held never comes to an answer. A backend or a provider that is away is no reason
// to start an ambassador anew.
func (a *Ambassador) livez(w http.ResponseWriter, _ *http.Request) {
	if a.Facts != nil {
		a.Facts()
	}
	a.Table.Snapshot(false)
	plain(w, http.StatusOK)
	fmt.Fprintln(w, "ok")
}

// readyz answers 200 while the tunnel is up and the backends of all links answer,
// else 503. With ?verbose, or when it is not ready, it lists what was looked at, in
// the form of Kubernetes' own API server.
func (a *Ambassador) readyz(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), hurry)
	defer cancel()
	ready, checks := a.readiness(ctx)
	if !ready {
		plain(w, http.StatusServiceUnavailable)
		tellChecks(w, checks)
		fmt.Fprintln(w, "readyz check failed")
		return
	}
	plain(w, http.StatusOK)
	if r.URL.Query().Has("verbose") {
		tellChecks(w, checks)
		fmt.Fprintln(w, "readyz check passed")
		return
	}
	fmt.Fprintln(w, "ok")
}

func plain(w http.ResponseWriter, status int) {
	h := w.Header()
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
}

// check is one thing that has to be well for an ambassador to be ready.
type check struct {
	what string
	why  string // it is not; empty if it is
}

func tellChecks(w io.Writer, checks []check) {
	for _, c := range checks {
		if c.why == "" {
			fmt.Fprintf(w, "[+]%s ok\n", c.what)
		} else {
			fmt.Fprintf(w, "[-]%s: %s\n", c.what, c.why)
		}
	}
}

// readiness is the verdict with all that led to it.
func (a *Ambassador) readiness(ctx context.Context) (ready bool, checks []check) {
	l := a.look(ctx, fresh, false)
	links := l.links()
	_, ready = l.verdict(links, 0)
	going := check{what: "running"}
	if l.facts.Draining {
		going.why = "draining"
	}
	checks = append(checks, going)
	if a.Role == RoleClient {
		checks = append(checks, check{"session", l.facts.Tunnel})
	}
	if len(links) == 0 {
		checks = append(checks, check{"links", "there is none"})
	}
	for i := range links {
		checks = append(checks, check{"link " + links[i].Name, l.missing(&links[i])})
	}
	return ready, checks
}

// missing is why a link is not up, in the words of the close reasons.
func (l *look) missing(link *Link) string {
	switch {
	case link.State == StateUp:
		return ""
	case link.Reason != "":
		return link.Reason
	case l.unchecked != "":
		return l.unchecked
	}
	return "not known yet"
}

// Profiles are the Go runtime's, under /debug/pprof/: for the control socket alone,
// whose callers may do anything anyway. The command line is not among them, since
// an argument may be a token.
func Profiles() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", http.NotFound)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	return mux
}
