package integration

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// company is a CA that knows nothing of ambassadors.
type company struct {
	cert *x509.Certificate
	root []byte // DER
	key  *ecdsa.PrivateKey
}

func newCompany(t *testing.T) *company {
	t.Helper()
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: "Company CA"}, SerialNumber: big.NewInt(1),
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	root, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(root)
	if err != nil {
		t.Fatal(err)
	}
	return &company{cert, root, key}
}

// writeRoot writes the CA's certificate.
func (c *company) writeRoot(t *testing.T, file string) { writePEM(t, file, "CERTIFICATE", c.root) }

// leafFor writes NAME.pem and NAME.key: a provider's for some hosts, or without
// hosts a client's of that name.
func (c *company) leafFor(t *testing.T, dir, name string, hosts []string) {
	t.Helper()
	c.leafOf(t, dir, name, hosts, time.Now().Add(-time.Minute), time.Now().Add(time.Hour))
}

// leafOf is leafFor with the time in which it is good.
func (c *company) leafOf(t *testing.T, dir, name string, hosts []string, from, until time.Time) {
	t.Helper()
	usage := x509.ExtKeyUsageServerAuth
	if hosts == nil {
		usage, hosts = x509.ExtKeyUsageClientAuth, []string{name}
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		Subject: pkix.Name{CommonName: name}, SerialNumber: big.NewInt(time.Now().UnixNano()), DNSNames: hosts,
		NotBefore: from, NotAfter: until,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{usage},
	}, c.cert, key.Public(), c.key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	writePEM(t, filepath.Join(dir, name+".pem"), "CERTIFICATE", der)
	writePEM(t, filepath.Join(dir, name+".key"), "PRIVATE KEY", private)
}

func writePEM(t *testing.T, name, kind string, der []byte) {
	t.Helper()
	write(t, name, string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})))
}

// pool is the certificates of a file.
func pool(t *testing.T, file string) *x509.CertPool {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	p := x509.NewCertPool()
	if !p.AppendCertsFromPEM(text) {
		t.Fatalf("no certificate in %s", file)
	}
	return p
}
