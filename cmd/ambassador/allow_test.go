package main

import (
	"crypto/tls"
	"crypto/x509"
	"net/url"
	"slices"
	"testing"
)

// peer is a handshake's end with a certificate of these names.
func peer(t *testing.T, dns []string, uris ...string) tls.ConnectionState {
	t.Helper()
	cert := &x509.Certificate{DNSNames: dns}
	for _, u := range uris {
		parsed, err := url.Parse(u)
		if err != nil {
			t.Fatal(err)
		}
		cert.URIs = append(cert.URIs, parsed)
	}
	return tls.ConnectionState{PeerCertificates: []*x509.Certificate{cert}}
}

func TestAllowGrantsByPatternAndNothingElse(t *testing.T) {
	rules, err := parseAllow([]string{"web-*=redis,postgres", "web-1=mq", "spiffe://corp/ns/*=cache", "*.example.org=redis"})
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name string
		cs   tls.ConnectionState
		want []string
	}{
		{"a DNS name", peer(t, []string{"web-2"}), []string{"postgres", "redis"}},
		{"two rules", peer(t, []string{"web-1"}), []string{"mq", "postgres", "redis"}},
		{"a URI", peer(t, nil, "spiffe://corp/ns/a"), []string{"cache"}},
		{"a DNS name beside a URI", peer(t, []string{"web-2"}, "spiffe://corp/other"), []string{"postgres", "redis"}},
		{"the second name", peer(t, []string{"x", "a.example.org"}), []string{"redis"}},
		{"* stops at /", peer(t, nil, "spiffe://corp/ns/a/b"), nil},
		{"no match", peer(t, []string{"db-1"}), nil},
		{"a longer name", peer(t, []string{"xweb-1"}), nil},
		{"no name", peer(t, nil), nil},
		{"no certificate", tls.ConnectionState{}, nil},
	} {
		got, err := rules.authorize(tc.cs)
		slices.Sort(got.Links)
		if (err == nil) != (tc.want != nil) || !slices.Equal(got.Links, tc.want) {
			t.Errorf("%s: %v, %v, want %v", tc.name, got.Links, err, tc.want)
		}
	}
	for _, words := range [][]string{nil, {"web"}, {"=redis"}, {"web="}, {"[=redis"}} {
		if _, err := parseAllow(words); err == nil {
			t.Errorf("%q is taken", words)
		}
	}
}
