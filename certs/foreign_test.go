package certs

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"net"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// foreign is a CA as other tools make them: not confined to a trust domain.
type foreign struct{ *signer }

func newForeign(t testing.TB) *foreign {
	t.Helper()
	key, err := newKey()
	if err != nil {
		t.Fatal(err)
	}
	cert, err := sign(&x509.Certificate{
		Subject: pkix.Name{CommonName: "Some Company CA"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		BasicConstraintsValid: true, IsCA: true, KeyUsage: x509.KeyUsageCertSign,
	}, nil, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return &foreign{&signer{cert, key}}
}

// leaf makes a certificate for names: URIs, addresses or hosts.
func (f *foreign) leaf(t testing.TB, usage x509.ExtKeyUsage, names ...string) Files {
	t.Helper()
	key, err := newKey()
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{usage},
	}
	for _, name := range names {
		if uri, err := url.Parse(name); err == nil && uri.Scheme != "" {
			template.URIs = append(template.URIs, uri)
		} else if ip := net.ParseIP(name); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, name)
		}
	}
	cert, err := sign(template, f.cert, key.Public(), f.key)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "foreign")
	if err := makeDir(dir); err != nil {
		t.Fatal(err)
	}
	l := &leaf{cert: cert, chain: []*x509.Certificate{cert}, key: key, roots: []*x509.Certificate{f.cert}}
	if err := writeLeaf(StateFiles(dir), l); err != nil {
		t.Fatal(err)
	}
	files := StateFiles(dir)
	files.Dir = "" // as --cert, --key and --ca give them
	return files
}

func TestAnotherCAsCertificates(t *testing.T) {
	company := newForeign(t)
	prov := company.leaf(t, x509.ExtKeyUsageServerAuth, "big-server", "127.0.0.1")
	client := company.leaf(t, x509.ExtKeyUsageClientAuth, "web.example")
	for _, name := range []string{"big-server", "127.0.0.1"} {
		s := shake(t, clientConfig(t, client, name), serverConfig(t, prov))
		if err := errors.Join(s.client, s.provider); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if id, err := PeerIdentity(s.providerTLS); id != "web.example" || err != nil {
			t.Errorf("the client is %q, %v", id, err)
		}
	}
	s := shake(t, clientConfig(t, client, "small-server"), serverConfig(t, prov))
	if got := Explain(s.client); !strings.HasPrefix(got, "the provider's certificate is for another host") {
		t.Errorf("explained as %q (%v)", got, s.client)
	}
	s = shake(t, careless(t, prov), serverConfig(t, prov))
	if s.provider == nil {
		t.Error("a certificate for servers is taken for a client's")
	}
	if _, err := ClientConfig(client, ""); err == nil {
		t.Error("no name to verify the provider by, and no error")
	}
}

// With another CA the host name decides, whatever URIs a certificate holds:
// there are customers of that CA who can have any.
func TestAnotherCAsURIsDoNotReplaceTheHostName(t *testing.T) {
	company := newForeign(t)
	mallory := careless(t, company.leaf(t, x509.ExtKeyUsageServerAuth, "spiffe://ambassador/provider/big-server", "mallory.example"))
	bare := careless(t, company.leaf(t, x509.ExtKeyUsageServerAuth, "spiffe://ambassador/provider/big-server"))
	for _, own := range []string{"web.example", "https://web.example", "spiffe://ambassador/client/web"} {
		f := company.leaf(t, x509.ExtKeyUsageClientAuth, own)
		c, err := Load(f, RoleClient)
		if err != nil {
			t.Fatal(err)
		}
		if c.Private() {
			t.Errorf("with our name %s the company's CA passes for a private one", own)
		}
		for _, evil := range []*tls.Config{mallory, bare} {
			host := x509.HostnameError{}
			if s := shake(t, c.ClientConfig("big-server"), evil); !errors.As(s.client, &host) {
				t.Errorf("with our name %s: %v", own, s.client)
			}
		}
	}
}

// One private root and one of a company in a file do not make the company's a
// private one.
func TestMixedRootsAreNotPrivate(t *testing.T) {
	ca := newCA(t, InitOptions{})
	f := clientOf(t, ca, "web")
	l, err := readLeaf(f)
	if err != nil {
		t.Fatal(err)
	}
	if _, private := isPrivate(l); !private {
		t.Error("the private CA is none")
	}
	l.roots = append(l.roots, newForeign(t).cert)
	if _, private := isPrivate(l); private {
		t.Error("the mixed file is of a private CA")
	}
	l.roots = []*x509.Certificate{newCA(t, InitOptions{TrustDomain: "example.org"}).roots[0]}
	if _, private := isPrivate(l); private {
		t.Error("a root of another trust domain is of our private CA")
	}
	// Who does not know name constraints may pass over one that is not critical.
	lax := *ca.roots[0]
	lax.PermittedDNSDomainsCritical = false
	l.roots = []*x509.Certificate{&lax}
	if _, private := isPrivate(l); private {
		t.Error("a root that need not be confined is of a private CA")
	}
}

func TestPeerIdentity(t *testing.T) {
	company := newForeign(t)
	for _, tc := range []struct {
		names []string
		want  string
	}{
		{[]string{"a.example", "b.example"}, "a.example"},
		{[]string{"a.example", "https://x/y", "https://z"}, "https://x/y"},
		{[]string{"10.0.0.1"}, ""},
	} {
		l, err := readLeaf(company.leaf(t, x509.ExtKeyUsageClientAuth, tc.names...))
		if err != nil {
			t.Fatal(err)
		}
		got, err := PeerIdentity(tls.ConnectionState{PeerCertificates: []*x509.Certificate{l.cert}})
		if got != tc.want {
			t.Errorf("%v: %q, %v", tc.names, got, err)
		}
		if tc.want == "" {
			wantIs(t, err, ErrNoIdentity)
		}
	}
	_, err := PeerIdentity(tls.ConnectionState{})
	wantIs(t, err, ErrNoIdentity)
}
