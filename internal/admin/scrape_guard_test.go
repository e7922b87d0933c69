package admin

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestMetricsAreNotForOtherSites(t *testing.T) {
	loopback, elsewhere := net.IPv4(127, 0, 0, 1), net.IPv4(192, 0, 2, 1)
	for name, c := range map[string]struct {
		on     net.IP
		host   string
		header [2]string
		want   int
	}{
		"prometheus-on-the-host":       {loopback, "127.0.0.1:9101", [2]string{}, http.StatusOK},
		"by-localhost":                 {loopback, "localhost:9101", [2]string{}, http.StatusOK},
		"by-the-host-s-name":           {loopback, "big-server:9101", [2]string{}, http.StatusOK},
		"prometheus-elsewhere":         {elsewhere, "big-server.example:9101", [2]string{}, http.StatusOK},
		"typed-into-a-browser":         {loopback, "127.0.0.1:9101", [2]string{"Sec-Fetch-Site", "none"}, http.StatusOK},
		"name-that-was-led-to-us":      {loopback, "evil.example:9101", [2]string{}, http.StatusMisdirectedRequest},
		"the-same-with-a-dot-more":     {loopback, "evil.example.:9101", [2]string{}, http.StatusMisdirectedRequest},
		"script-of-another-site":       {elsewhere, "192.0.2.1:9101", [2]string{"Origin", "http://evil.example"}, http.StatusForbidden},
		"image-in-another-site":        {loopback, "127.0.0.1:9101", [2]string{"Sec-Fetch-Site", "cross-site"}, http.StatusForbidden},
		"another-port-of-the-same-one": {loopback, "127.0.0.1:9101", [2]string{"Sec-Fetch-Site", "same-site"}, http.StatusForbidden},
	} {
		t.Run(name, func(t *testing.T) {
			for _, path := range []string{"/metrics", "/livez"} {
				ctx := context.WithValue(t.Context(), http.LocalAddrContextKey, net.Addr(&net.TCPAddr{IP: c.on, Port: 9101}))
				r := httptest.NewRequestWithContext(ctx, http.MethodGet, path, nil)
				r.Host = c.host
				if c.header[0] != "" {
					r.Header.Set(c.header[0], c.header[1])
				}
				w := httptest.NewRecorder()
				provider().Scraped().ServeHTTP(w, r)
				if w.Code != c.want {
					t.Errorf("%s: %d, want %d", path, w.Code, c.want)
				}
				if cors := w.Header().Get("Access-Control-Allow-Origin"); cors != "" {
					t.Errorf("%s is open to %s", path, cors)
				}
			}
		})
	}
}
