package certs

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// namedLeaf is a provider's certificate with further names, by a CA's issuer.
func namedLeaf(t *testing.T, ca *CA, template x509.Certificate) *leaf {
	t.Helper()
	key := testKey(t)
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Minute), time.Now().Add(time.Hour)
	template.KeyUsage, template.ExtKeyUsage = x509.KeyUsageDigitalSignature, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	cert, err := sign(&template, ca.issuers[0], key.Public(), ca.key)
	if err != nil {
		t.Fatal(err)
	}
	return &leaf{cert: cert, chain: ca.chain(cert), key: key, roots: ca.roots}
}

// Not only Go is to see how far a CA of ours may be trusted: somebody may add its
// root where OpenSSL decides.
func TestOpenSSLSeesTheSameConfines(t *testing.T) {
	if _, err := exec.LookPath("openssl"); err != nil {
		if os.Getenv("AMBASSADOR_REQUIRE") != "" {
			t.Fatal(err)
		}
		t.Skip("openssl is not installed")
	}
	ca := newCA(t, InitOptions{})
	verify := func(l *leaf, args ...string) (string, error) {
		t.Helper()
		f := written(t, l)
		issuers := filepath.Join(t.TempDir(), "issuers.pem")
		if err := os.WriteFile(issuers, encodeCertificates(l.chain[1:]...), 0o600); err != nil {
			t.Fatal(err)
		}
		args = append([]string{"verify", "-CAfile", f.CA, "-untrusted", issuers}, args...)
		out, err := exec.Command("openssl", append(args, f.Cert)...).CombinedOutput()
		return string(out), err
	}
	for role, purpose := range map[Role]string{RoleClient: "sslclient", RoleProvider: "sslserver"} {
		l, err := ca.newLeaf(Identity{"ambassador", role, "web"})
		if err != nil {
			t.Fatal(err)
		}
		if out, err := verify(l, "-purpose", purpose); err != nil {
			t.Errorf("our own %s's: %v: %s", role, err, out)
		}
	}
	for name, tc := range map[string]struct {
		template x509.Certificate
		args     []string
	}{
		"a host's name":   {x509.Certificate{DNSNames: []string{"bank.example"}}, []string{"-verify_hostname", "bank.example"}},
		"every name":      {x509.Certificate{DNSNames: []string{"*.bank.example"}}, []string{"-verify_hostname", "www.bank.example"}},
		"an address":      {x509.Certificate{IPAddresses: []net.IP{net.IPv4(192, 0, 2, 1)}}, []string{"-verify_ip", "192.0.2.1"}},
		"an IPv6 address": {x509.Certificate{IPAddresses: []net.IP{net.ParseIP("2001:db8::1")}}, []string{"-verify_ip", "2001:db8::1"}},
		"a mailbox":       {x509.Certificate{EmailAddresses: []string{"root@bank.example"}}, []string{"-verify_email", "root@bank.example"}},
		"a subject":       {x509.Certificate{Subject: pkix.Name{CommonName: "bank.example"}}, []string{"-verify_hostname", "bank.example"}},
	} {
		out, err := verify(namedLeaf(t, ca, tc.template), tc.args...)
		if err == nil || !strings.Contains(out, "subtree violation") {
			t.Errorf("%s: %v: %s", name, err, out)
		}
	}
}

// A CA from before hosts' names were excluded goes on, and its next issuer is
// confined as new ones are.
func TestCAFromBeforeTheConfines(t *testing.T) {
	now := time.Now()
	ca := newCA(t, InitOptions{})
	older := func(template *x509.Certificate) *x509.Certificate {
		template.ExcludedDNSDomains, template.PermittedEmailAddresses, template.ExcludedIPRanges = nil, nil, nil
		return template
	}
	rootKey, err := newKey()
	if err != nil {
		t.Fatal(err)
	}
	root, err := sign(older(authority("ambassador", "root", 1, now, now.Add(rootLife))), nil, rootKey, rootKey)
	if err != nil {
		t.Fatal(err)
	}
	issuerKey, err := newKey()
	if err != nil {
		t.Fatal(err)
	}
	issuer, err := sign(older(authority("ambassador", "issuer", 0, now, now.Add(issuerLife))), root, issuerKey, rootKey)
	if err != nil {
		t.Fatal(err)
	}
	if err := writeCA(ca.path(""), &signer{root, rootKey}, &signer{issuer, issuerKey}, InitOptions{}); err != nil {
		t.Fatal(err)
	}
	ca, err = Open(ca.Dir(), OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	old := clientOf(t, ca, "old")
	if err := handshakes(t, old, provider(t, ca)); err != nil {
		t.Error(err)
	}
	if err := ca.RenewNow(nil, false); err != nil {
		t.Fatal(err)
	}
	if ca, err = Open(ca.Dir(), OpenOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := handshakes(t, old, provider(t, ca)); err != nil {
		t.Error("a client of before, after the issuer's renewal:", err)
	}
	if err := handshakes(t, clientOf(t, ca, "new"), provider(t, ca)); err != nil {
		t.Error("a new client, after the issuer's renewal:", err)
	}
	if err := namedLeaf(t, ca, x509.Certificate{DNSNames: []string{"bank.example"}}).verify(now, x509.ExtKeyUsageServerAuth); err == nil {
		t.Error("the renewed issuer vouches for hosts")
	}
}
