package admin

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
)

// guard keeps other sites away from the dashboard: it has no login, and the
// browser of whoever may see it also shows pages of others.
type guard struct {
	hosts []string // allowed in Host besides the obvious ones
	next  http.Handler
}

// securityHeaders go with every answer. The page needs nothing but its own files
// and talks to nobody else.
var securityHeaders = map[string]string{
	"Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; " +
		"frame-ancestors 'none'; base-uri 'none'; form-action 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
	"X-Content-Type-Options":       "nosniff",
	"X-Frame-Options":              "DENY", // for browsers that do not know frame-ancestors
	"Referrer-Policy":              "no-referrer",
	"Cross-Origin-Opener-Policy":   "same-origin",
	"Cross-Origin-Resource-Policy": "same-origin",
	"Permissions-Policy":           "camera=(), geolocation=(), microphone=()",
	"Cache-Control":                "no-store",
}

func (g *guard) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	for name, value := range securityHeaders {
		w.Header().Set(name, value)
	}
	switch {
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		w.Header().Set("Allow", "GET, HEAD")
		refuse(w, http.StatusMethodNotAllowed, "the dashboard is read-only: GET and HEAD are all it takes")
	case r.ContentLength != 0:
		refuse(w, http.StatusRequestEntityTooLarge, "the dashboard takes no request bodies")
	case !g.knowsHost(r):
		// Not the name itself: it is the asker's own word.
		refuse(w, http.StatusMisdirectedRequest, "the dashboard does not go by this name: use its address, or start the ambassador with --ui-host and the name")
	case !sameSite(r):
		refuse(w, http.StatusForbidden, "the dashboard answers to its own page only")
	default:
		g.next.ServeHTTP(w, r)
	}
}

func refuse(w http.ResponseWriter, code int, text string) {
	w.Header().Set("Connection", "close") // a body that was not asked for is not read
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(code)
	fmt.Fprintln(w, text)
}

// knowsHost is true when the Host header holds what this page is known as:
// localhost or a loopback address, as also through an SSH tunnel or a container's
// mapped port, the address that was connected to, or one of the given names. A name
// that an attacker has led here (DNS rebinding) is none of these. The port may be
// any.
func (g *guard) knowsHost(r *http.Request) bool {
	host := hostOf(r.Host)
	for _, h := range append([]string{"localhost"}, g.hosts...) {
		if strings.EqualFold(host, h) {
			return true
		}
	}
	asked, err := netip.ParseAddr(host)
	if err != nil || asked.IsLoopback() {
		return err == nil
	}
	local, _ := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr)
	return local != nil && asked == local.AddrPort().Addr().Unmap()
}

// hostOf is a Host header without its port and brackets.
func hostOf(host string) string {
	if h, _, err := net.SplitHostPort(host); err == nil {
		return h
	}
	return strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
}

// sameSite is false of what a page of another origin has a browser ask for, but
// for a link that leads to the page. Another port of one host is another origin
// too. Without the browser's headers the asker is no browser, and free to claim
// whatever it likes.
func sameSite(r *http.Request) bool {
	if origin := r.Header.Get("Origin"); origin != "" {
		u, err := url.Parse(origin)
		if err != nil || u.Host == "" || !strings.EqualFold(u.Host, r.Host) {
			return false
		}
	}
	switch r.Header.Get("Sec-Fetch-Site") {
	case "", "none", "same-origin":
		return true
	}
	return r.URL.Path == "/" && r.Header.Get("Sec-Fetch-Mode") == "navigate" && r.Header.Get("Sec-Fetch-Dest") == "document"
}
