package admin

import (
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// scrapeGuard keeps pages in a browser away from what --metrics-addr serves, as far
// as Prometheus does not mind: it asks by whatever name it was given, and is no
// browser.
type scrapeGuard struct{ next http.Handler }

func (g scrapeGuard) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cross-Origin-Resource-Policy", "same-origin")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	switch site := r.Header.Get("Sec-Fetch-Site"); {
	case r.Header.Get("Origin") != "", site == "cross-site", site == "same-site":
		refuse(w, http.StatusForbidden, "metrics and health are not for pages of other sites")
	case rebound(r):
		refuse(w, http.StatusMisdirectedRequest, "on a loopback address metrics and health go by localhost, by an IP address, or by a name without a dot")
	default:
		g.next.ServeHTTP(w, r)
	}
}

// rebound is true of a request on a loopback address by a name of the Internet: a
// page may have led its own name here (DNS rebinding), and then asks as if it were
// its own site. Elsewhere such names are what scrapers use.
func rebound(r *http.Request) bool {
	local, _ := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr)
	if local == nil || !local.IP.IsLoopback() {
		return false
	}
	host := strings.ToLower(strings.TrimSuffix(hostOf(r.Host), "."))
	if _, err := netip.ParseAddr(host); err == nil {
		return false
	}
	return strings.Contains(host, ".") && !strings.HasSuffix(host, ".localhost")
}
