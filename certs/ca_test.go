package certs

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/x509"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestShapeOfTheCertificates(t *testing.T) {
	now := time.Now()
	ca := newCA(t, InitOptions{TrustDomain: "example.org", Now: at(now)})
	client, err := readLeaf(clientOf(t, ca, "web"))
	if err != nil {
		t.Fatal(err)
	}
	prov, err := readLeaf(provider(t, ca))
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name    string
		cert    *x509.Certificate
		life    time.Duration
		isCA    bool
		pathLen int
		usage   x509.KeyUsage
		ext     []x509.ExtKeyUsage
		uri     string
	}{
		{"root", ca.roots[0], rootLife, true, 1, x509.KeyUsageCertSign | x509.KeyUsageCRLSign, nil, ""},
		{"issuer", ca.issuers[0], issuerLife, true, 0, x509.KeyUsageCertSign | x509.KeyUsageCRLSign, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}, ""},
		{"client", client.cert, leafLife, false, -1, x509.KeyUsageDigitalSignature, []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, "spiffe://example.org/client/web"},
		{"provider", prov.cert, leafLife, false, -1, x509.KeyUsageDigitalSignature, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, "spiffe://example.org/provider/big-server"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := tc.cert
			if c.IsCA != tc.isCA || c.MaxPathLen != tc.pathLen || !c.BasicConstraintsValid {
				t.Errorf("CA %v, path length %d", c.IsCA, c.MaxPathLen)
			}
			if c.KeyUsage != tc.usage || len(c.ExtKeyUsage) != len(tc.ext) {
				t.Errorf("key usage %b, extended %v", c.KeyUsage, c.ExtKeyUsage)
			}
			for i, e := range c.ExtKeyUsage {
				if e != tc.ext[i] {
					t.Errorf("extended key usage %v", c.ExtKeyUsage)
				}
			}
			if d := c.NotAfter.Sub(now); d > tc.life || d < tc.life-time.Second {
				t.Errorf("lives %v", d)
			}
			if d := now.Sub(c.NotBefore); d < backdate || d > backdate+time.Second {
				t.Errorf("backdated by %v", d)
			}
			if bits := c.SerialNumber.BitLen(); bits != 129 || c.SerialNumber.Sign() <= 0 {
				t.Errorf("serial of %d bits", bits)
			}
			if k, ok := c.PublicKey.(*ecdsa.PublicKey); !ok || k.Params().Name != "P-256" {
				t.Errorf("key %T", c.PublicKey)
			}
			if len(c.SubjectKeyId) == 0 || (tc.name != "root" && len(c.AuthorityKeyId) == 0) {
				t.Error("key ids are missing")
			}
			if tc.isCA != (len(c.PermittedURIDomains) == 1 && c.PermittedDNSDomainsCritical) {
				t.Errorf("name constraints %v", c.PermittedURIDomains)
			}
			uris, names := 0, len(c.DNSNames)+len(c.IPAddresses)+len(c.EmailAddresses)
			if tc.uri != "" {
				uris = 1
			}
			if len(c.URIs) != uris || names != 0 || uris == 1 && c.URIs[0].String() != tc.uri {
				t.Errorf("URIs %v, %d other names", c.URIs, names)
			}
			if !tc.isCA && c.Subject.String() != "" {
				t.Errorf("a subject, %v, beside the identity", c.Subject)
			}
		})
	}
}

// An issuer that is taken over cannot vouch outside of its trust domain, nor
// make another CA.
func TestIssuerIsConfined(t *testing.T) {
	ca := newCA(t, InitOptions{})
	foreign, err := ca.newLeaf(Identity{"example.org", RoleClient, "web"})
	if err != nil {
		t.Fatal(err)
	}
	invalid := x509.CertificateInvalidError{}
	if err := foreign.verify(time.Now(), x509.ExtKeyUsageClientAuth); !errors.As(err, &invalid) || invalid.Reason != x509.CANotAuthorizedForThisName {
		t.Errorf("another trust domain: %v", err)
	}
	for name, template := range map[string]x509.Certificate{
		"a host's name":   {DNSNames: []string{"bank.example"}},
		"every name":      {DNSNames: []string{"*.example"}},
		"an address":      {IPAddresses: []net.IP{net.IPv4(192, 0, 2, 1)}},
		"an IPv6 address": {IPAddresses: []net.IP{net.ParseIP("2001:db8::1")}},
		"a mailbox":       {EmailAddresses: []string{"root@bank.example"}},
	} {
		l := namedLeaf(t, ca, template)
		if err := l.verify(time.Now(), x509.ExtKeyUsageServerAuth); !errors.As(err, &invalid) || invalid.Reason != x509.CANotAuthorizedForThisName {
			t.Errorf("%s: %v", name, err)
		}
	}
	key, err := newKey()
	if err != nil {
		t.Fatal(err)
	}
	below, err := newIssuer(ca.issuer(), "ambassador", key, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	cert, err := newLeaf(below, Identity{"ambassador", RoleClient, "web"}, key.Public(), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	l := &leaf{cert: cert, chain: []*x509.Certificate{cert, below.cert, ca.issuers[0]}, roots: []*x509.Certificate{ca.roots[0]}}
	if err := l.verify(time.Now(), x509.ExtKeyUsageClientAuth); !errors.As(err, &invalid) || invalid.Reason != x509.TooManyIntermediates {
		t.Errorf("another issuer: %v", err)
	}
}

func TestInitAndOpen(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "state")
	_, err := Open(dir, OpenOptions{})
	wantIs(t, err, ErrNoCA)
	made, err := Init(dir, InitOptions{TrustDomain: "example.org", Provider: "p1"})
	if err != nil {
		t.Fatal(err)
	}
	_, err = Init(dir, InitOptions{})
	wantIs(t, err, ErrExists)
	provider(t, made)
	ca, err := Open(dir, OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if ca.TrustDomain() != "example.org" || ca.provider != "p1" || !ca.roots[0].Equal(made.roots[0]) {
		t.Errorf("opened as %s, %s", ca.TrustDomain(), ca.provider)
	}
	for _, o := range []InitOptions{{TrustDomain: "Example.org"}, {Provider: "../x"}} {
		_, err := Init(filepath.Join(dir, "other"), o)
		wantIs(t, err, ErrName)
	}
}

func TestInitNotInAClientsDirectory(t *testing.T) {
	f := clientOf(t, newCA(t, InitOptions{}), "web")
	_, err := Init(f.Dir, InitOptions{})
	wantIs(t, err, ErrOtherIdentity)
}

// A crash while a CA was being made leaves none, and the next one starts afresh.
func TestInitAfterACrash(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(dir, dirMode); err != nil {
		t.Fatal(err)
	}
	left := filepath.Join(dir, caDir+temporary+"1")
	if err := os.MkdirAll(filepath.Join(left, "x"), dirMode); err != nil {
		t.Fatal(err)
	}
	if _, made, err := Ensure(dir, InitOptions{}); !made || err != nil {
		t.Errorf("made %v, %v", made, err)
	}
	if _, err := os.Stat(left); !os.IsNotExist(err) {
		t.Error("the unfinished CA is still there")
	}
}

// Whoever comes first makes the CA and the provider's certificate, and all end
// up with the same ones.
func TestManyStartAtOnce(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	var all sync.WaitGroup
	var mu sync.Mutex
	made, leaves := 0, 0
	roots := make(map[string]bool)
	for range 8 {
		all.Go(func() {
			ca, first, err := Ensure(dir, InitOptions{})
			if err != nil {
				t.Error(err)
				return
			}
			leaf, err := ca.EnsureProvider()
			_, errIssue := ca.Issue("web", nil)
			mu.Lock()
			defer mu.Unlock()
			if err := errors.Join(err, errIssue); err != nil {
				t.Error(err)
			}
			roots[string(ca.roots[0].Raw)] = true
			if first {
				made++
			}
			if leaf {
				leaves++
			}
		})
	}
	all.Wait()
	if made != 1 || leaves != 1 || len(roots) != 1 {
		t.Errorf("%d CAs made, %d leaves, %d roots", made, leaves, len(roots))
	}
	ca, err := Open(dir, OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if r, _, err := ca.record(Identity{"ambassador", RoleClient, "web"}); err != nil || len(r.Certificates) != 8 {
		t.Errorf("%d certificates recorded, %v", len(r.Certificates), err)
	}
}

func TestSealedRoot(t *testing.T) {
	now := time.Now()
	ca := newCA(t, InitOptions{Passphrase: []byte("open sesame"), cost: cheap, Now: at(now)})
	data, err := os.ReadFile(ca.path(rootKey))
	if err != nil || !bytes.Contains(data, []byte(sealedType)) || bytes.Contains(data, []byte("BEGIN "+keyType)) {
		t.Fatalf("root.key is %q, %v", data, err)
	}
	open := func(passphrase string, after time.Duration) (*CA, error) {
		o := OpenOptions{Now: at(now.Add(after))}
		if passphrase != "" {
			o.Passphrase = []byte(passphrase)
		}
		return Open(ca.Dir(), o)
	}
	for _, tc := range []struct {
		name, passphrase string
		after            time.Duration
		want             []error
	}{
		{"works without the passphrase", "", 0, nil},
		{"a right one is fine", "open sesame", 0, nil},
		{"a wrong one is told", "open barley", 0, []error{ErrPassphrase}},
		{"works to the issuer's end", "", issuerLife - time.Hour, nil},
		{"and not beyond", "", issuerLife + time.Hour, []error{ErrExpired, ErrSealed}},
		{"renewal wants the right one", "open barley", issuerLife + time.Hour, []error{ErrPassphrase}},
		{"renewal", "open sesame", issuerLife + time.Hour, nil},
		{"renewed", "", issuerLife + time.Hour, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			ca, err := open(tc.passphrase, tc.after)
			for _, want := range tc.want {
				wantIs(t, err, want)
			}
			if tc.want != nil {
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if _, err := ca.Issue("web", nil); err != nil {
				t.Error(err)
			}
		})
	}
	_, err = Init(filepath.Join(t.TempDir(), "x"), InitOptions{Passphrase: []byte{}, cost: cheap})
	wantIs(t, err, ErrPassphrase)
}

func TestIssuerRenewsItselfUnderAnOpenRoot(t *testing.T) {
	now := time.Now()
	old := newCA(t, InitOptions{Now: at(now)})
	late := now.Add(issuerLife - leafLife + time.Hour)
	ca, err := Open(old.Dir(), OpenOptions{Now: at(late)})
	if err != nil {
		t.Fatal(err)
	}
	if got := ca.issuers[0].NotAfter.Sub(late); got < issuerLife-time.Minute {
		t.Errorf("the issuer lives %v", got)
	}
	again, err := Open(old.Dir(), OpenOptions{Now: at(late)})
	if err != nil || !again.issuers[0].Equal(ca.issuers[0]) {
		t.Errorf("renewed twice, %v", err)
	}
	// A leaf never outlives its issuer.
	old.now = at(late)
	l, err := old.newLeaf(Identity{"ambassador", RoleClient, "web"})
	if err != nil || l.cert.NotAfter.After(old.issuers[0].NotAfter) {
		t.Errorf("leaf until %v, %v", l.cert.NotAfter, err)
	}
	old.now = at(now.Add(issuerLife + time.Hour))
	_, err = old.newLeaf(Identity{"ambassador", RoleClient, "web"})
	wantIs(t, err, ErrExpired)
	// What works on the files sees what another process has renewed.
	if _, err := old.Issue("web", nil); err != nil {
		t.Error(err)
	}
	_, err = Open(old.Dir(), OpenOptions{Now: at(now.Add(rootLife + time.Hour))})
	wantIs(t, err, ErrExpired)
}

func TestDamagedCA(t *testing.T) {
	other := newCA(t, InitOptions{})
	from := func(file string) func(*testing.T, *CA) {
		return func(t *testing.T, ca *CA) { copyFile(t, other.path(file), ca.path(file)) }
	}
	garbage := func(file string) func(*testing.T, *CA) {
		return func(t *testing.T, ca *CA) {
			if err := os.WriteFile(ca.path(file), []byte("garbage"), keyMode); err != nil {
				t.Fatal(err)
			}
		}
	}
	remove := func(file string) func(*testing.T, *CA) {
		return func(t *testing.T, ca *CA) {
			if err := os.Remove(ca.path(file)); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, tc := range []struct {
		name   string
		damage func(*testing.T, *CA)
		want   error
		file   string
	}{
		{"another root", from(rootCert), ErrWrongCA, issuerCert},
		{"another issuer's key", from(issuerKey), ErrMismatch, issuerKey},
		{"garbage for a root", garbage(rootCert), ErrMalformed, rootCert},
		{"garbage for a key", garbage(issuerKey), ErrMalformed, issuerKey},
		{"no issuer", remove(issuerCert), ErrMissing, issuerCert},
		{"no issuer's key", remove(issuerKey), ErrMissing, issuerKey},
		{"a leaf for a root", func(t *testing.T, ca *CA) { copyFile(t, clientOf(t, other, "web").Cert, ca.path(rootCert)) }, ErrMalformed, rootCert},
	} {
		t.Run(tc.name, func(t *testing.T) {
			ca := newCA(t, InitOptions{})
			tc.damage(t, ca)
			_, err := Open(ca.Dir(), OpenOptions{})
			wantIs(t, err, tc.want)
			if err != nil && !strings.HasPrefix(err.Error(), ca.path(tc.file)+" ") {
				t.Errorf("%q does not begin with the file %s", err, tc.file)
			}
		})
	}
}

func copyFile(t testing.TB, from, to string) {
	t.Helper()
	data, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, data, keyMode)
	}
	if err != nil {
		t.Fatal(err)
	}
}
