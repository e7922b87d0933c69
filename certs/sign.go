package certs

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"net/url"
	"time"
)

const (
	rootLife   = 10 * 365 * 24 * time.Hour
	issuerLife = 365 * 24 * time.Hour
	leafLife   = 30 * 24 * time.Hour
	// backdate lets a certificate be used at once by hosts whose clocks are
	// behind the CA's: without NTP, or just resumed.
	backdate = 5 * time.Minute
)

// signer is a CA certificate with its key.
type signer struct {
	cert *x509.Certificate
	key  crypto.Signer
}

// newRoot makes a self-signed root that can vouch for one trust domain only:
// its name constraints are critical, allow the URIs of that domain and exclude
// all DNS names, addresses and mailboxes, and crypto/x509 applies them to every
// chain. Whoever adds this root elsewhere does not thereby trust it with other
// identities, nor with hosts. One issuer may stand below it.
func newRoot(trustDomain string, now time.Time) (*signer, error) {
	key, err := newKey()
	if err != nil {
		return nil, err
	}
	cert, err := sign(authority(trustDomain, "root", 1, now, now.Add(rootLife)), nil, key, key)
	return &signer{cert, key}, err
}

// newIssuer makes the CA that does the work: no further CA may stand below it,
// and what it signs is good for TLS alone.
func newIssuer(root *signer, trustDomain string, key *ecdsa.PrivateKey, now time.Time) (*signer, error) {
	template := authority(trustDomain, "issuer", 0, now, soonest(now.Add(issuerLife), root.cert.NotAfter))
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	cert, err := sign(template, root.cert, key, root.key)
	return &signer{cert, key}, err
}

var (
	everyIPv4 = &net.IPNet{IP: net.IPv4zero.To4(), Mask: net.CIDRMask(0, 32)}
	everyIPv6 = &net.IPNet{IP: net.IPv6zero, Mask: net.CIDRMask(0, 128)}
)

func authority(trustDomain, what string, below int, now, until time.Time) *x509.Certificate {
	return &x509.Certificate{
		Subject:               pkix.Name{Organization: []string{"ambassador"}, CommonName: trustDomain + " " + what},
		NotBefore:             now.Add(-backdate),
		NotAfter:              until,
		BasicConstraintsValid: true, // critical (RFC 5280 §4.2.1.9), as Go writes it
		IsCA:                  true,
		MaxPathLen:            below,
		MaxPathLenZero:        below == 0,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		PermittedURIDomains:   []string{trustDomain},
		// A kind of name without a constraint is free (RFC 5280 §4.2.1.10): no
		// leaf of ours has such names, and none may be good for one elsewhere.
		// An empty domain is every domain; of mailboxes OpenSSL takes it for none,
		// and so they are allowed where there are none (RFC 2606 §2) alone.
		ExcludedDNSDomains:      []string{""},
		PermittedEmailAddresses: []string{"invalid"},
		ExcludedEmailAddresses:  []string{""},
		ExcludedIPRanges:        []*net.IPNet{everyIPv4, everyIPv6},
		// Makes the whole extension critical, not only what it says of DNS.
		PermittedDNSDomainsCritical: true,
	}
}

// newLeaf makes the certificate of a client or a provider. The identity is in
// its one URI SAN and nowhere else: the subject is empty, so that there is
// nothing to disagree.
func newLeaf(issuer *signer, id Identity, pub crypto.PublicKey, now time.Time) (*x509.Certificate, error) {
	uri, err := url.Parse(id.String())
	if err != nil {
		return nil, err
	}
	usage := x509.ExtKeyUsageClientAuth
	if id.Role == RoleProvider {
		usage = x509.ExtKeyUsageServerAuth
	}
	return sign(&x509.Certificate{
		URIs:      []*url.URL{uri},
		NotBefore: now.Add(-backdate),
		// A leaf beyond its issuer's time would be good for nothing then.
		NotAfter:              soonest(now.Add(leafLife), issuer.cert.NotAfter),
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{usage},
	}, issuer.cert, pub, issuer.key)
}

// sign fills in what all certificates have and signs; without a parent, by
// itself.
func sign(template, parent *x509.Certificate, pub crypto.PublicKey, by crypto.Signer) (*x509.Certificate, error) {
	if own, ok := pub.(crypto.Signer); ok {
		pub = own.Public()
	}
	spki, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		return nil, err
	}
	id := sha256.Sum256(spki)
	template.SubjectKeyId = id[:20] // RFC 7093 §2; Go sets it for CAs only
	template.SerialNumber = newSerial()
	if parent == nil {
		parent = template
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, pub, by)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

// newSerial is 128 random bits and a leading one, which keeps it positive and
// of one length (RFC 5280 §4.1.2.2 allows 20 bytes).
func newSerial() *big.Int {
	b := make([]byte, 17)
	rand.Read(b[1:]) // never fails (crypto/rand)
	b[0] = 1
	return new(big.Int).SetBytes(b)
}

func soonest(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
