package certs

import (
	"crypto/x509"
	"net"
	"net/url"
	"strings"
	"testing"
)

func TestParseIdentity(t *testing.T) {
	for _, uri := range []string{
		"spiffe://ambassador/client/web",
		"spiffe://example.org/provider/big-server",
		"spiffe://a1.b-2/client/Web_1.example",
		"spiffe://ambassador/client/" + strings.Repeat("x", MaxName),
	} {
		id, err := ParseIdentity(uri)
		if err != nil {
			t.Errorf("%s: %v", uri, err)
		}
		if id.String() != uri {
			t.Errorf("%s became %s", uri, id)
		}
	}
	for _, uri := range []string{
		"", "web", "spiffe://", "spiffe:///client/web", "spiffe://ambassador", "spiffe://ambassador/client",
		"spiffe://ambassador/client/", "spiffe://ambassador/client/web/", "spiffe://ambassador/client/web/x",
		"spiffe://ambassador//web", "spiffe://ambassador/admin/web", "spiffe://ambassador/Client/web",
		"SPIFFE://ambassador/client/web", "https://ambassador/client/web", "spiffe://Ambassador/client/web",
		"spiffe://ambassador:1/client/web", "spiffe://u@ambassador/client/web", "spiffe://10.0.0.1/client/web",
		"spiffe://ambassador/client/web?x", "spiffe://ambassador/client/web#", "spiffe://ambassador/client/%77eb",
		"spiffe://ambassador/client/..", "spiffe://ambassador/client/.hidden", "spiffe://ambassador/client/-rf",
		"spiffe://ambassador/client/a b", "spiffe://ambassador/client/a\n", "spiffe://ambassador/client/wéb",
		"spiffe://a..b/client/web", "spiffe://-a/client/web", "spiffe://a_b/client/web", "spiffe://.a/client/web",
		"spiffe://ambassador/client/" + strings.Repeat("x", MaxName+1), "spiffe://" + strings.Repeat("a.", 127) + "/client/web",
	} {
		_, err := ParseIdentity(uri)
		wantIs(t, err, ErrIdentity)
	}
}

func FuzzParseIdentity(f *testing.F) {
	f.Add("spiffe://ambassador/client/web")
	f.Add("spiffe://10.0.0.1/provider/..")
	f.Fuzz(func(t *testing.T, uri string) {
		id, err := ParseIdentity(uri)
		if err != nil {
			wantIs(t, err, ErrIdentity)
			return
		}
		if id.String() != uri {
			t.Errorf("%q has a second spelling, %q", id.String(), uri)
		}
		if strings.ContainsAny(id.Name, "/\\ \n\x00%") || strings.HasPrefix(id.Name, ".") {
			t.Errorf("name %q is not safe", id.Name)
		}
	})
}

// A certificate that is anything else beside an identity has none.
func TestIdentityStandsAlone(t *testing.T) {
	uri := &url.URL{Scheme: "spiffe", Host: "ambassador", Path: "/client/web"}
	for name, cert := range map[string]*x509.Certificate{
		"two URIs":   {URIs: []*url.URL{uri, uri}},
		"a host":     {URIs: []*url.URL{uri}, DNSNames: []string{"web"}},
		"an address": {URIs: []*url.URL{uri}, IPAddresses: []net.IP{{10, 0, 0, 1}}},
		"an e-mail":  {URIs: []*url.URL{uri}, EmailAddresses: []string{"a@b"}},
		"no URI":     {DNSNames: []string{"web"}},
	} {
		if id, ok := identityOf(cert); ok {
			t.Errorf("%s: %v", name, id)
		}
	}
	if id, ok := identityOf(&x509.Certificate{URIs: []*url.URL{uri}}); !ok || id.Name != "web" {
		t.Errorf("alone: %v, %v", id, ok)
	}
}

func TestHostNameMadeSafe(t *testing.T) {
	for host, want := range map[string]string{
		"big-server":              "big-server",
		"Big.Example.ORG":         "big.example.org",
		"wéird host":              "w-ird-host",
		"-._x":                    "x",
		"":                        "provider",
		"---":                     "provider",
		strings.Repeat("ab", 100): strings.Repeat("ab", 100)[:MaxName],
	} {
		if got := safeName(host); got != want {
			t.Errorf("%q became %q, want %q", host, got, want)
		}
	}
}
