package certs

import (
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// Files are the paths of a side's certificate: PEM files.
type Files struct {
	Cert string // the leaf, then its issuers but for the root
	Key  string // the leaf's key
	CA   string // the roots that both sides' certificates must chain to
	// Dir is the state directory that they are in, which must be its owner's
	// only. If empty, they are in no state directory, and only the key's own
	// mode is checked.
	Dir string
}

// StateFiles are the files in a state directory.
func StateFiles(dir string) Files {
	return Files{
		Cert: filepath.Join(dir, "cert.pem"),
		Key:  filepath.Join(dir, "key.pem"),
		CA:   filepath.Join(dir, "ca.pem"),
		Dir:  dir,
	}
}

// nextKey is where a key waits for its certificate: see writeLeaf.
func (f Files) nextKey() string { return f.Key + ".next" }

// leaf is a certificate with its key and the roots beside it.
type leaf struct {
	cert  *x509.Certificate
	chain []*x509.Certificate // the leaf and what follows it
	key   crypto.Signer
	roots []*x509.Certificate
}

func (l *leaf) tls() tls.Certificate {
	c := tls.Certificate{PrivateKey: l.key, Leaf: l.cert}
	for _, link := range l.chain {
		c.Certificate = append(c.Certificate, link.Raw)
	}
	return c
}

// identity is the leaf's ambassador identity; ok is false if it has none.
func (l *leaf) identity() (id Identity, ok bool) { return identityOf(l.cert) }

// identityOf is a certificate's ambassador identity. One with a second URI or a
// DNS name beside it has none: it would be two things to two readers.
func identityOf(cert *x509.Certificate) (id Identity, ok bool) {
	if len(cert.URIs) != 1 || len(cert.DNSNames)+len(cert.IPAddresses)+len(cert.EmailAddresses) > 0 {
		return Identity{}, false
	}
	id, err := ParseIdentity(cert.URIs[0].String())
	return id, err == nil
}

// verify checks that the leaf chains to the roots beside it and is good for the
// usage, at a time.
func (l *leaf) verify(now time.Time, usage x509.ExtKeyUsage) error {
	_, err := l.cert.Verify(x509.VerifyOptions{
		Roots:         poolOf(l.roots),
		Intermediates: poolOf(l.chain[1:]),
		CurrentTime:   now,
		KeyUsages:     []x509.ExtKeyUsage{usage},
	})
	return err
}

func poolOf(certs []*x509.Certificate) *x509.CertPool {
	pool := x509.NewCertPool()
	for _, c := range certs {
		pool.AddCert(c)
	}
	return pool
}

// readLeaf reads a certificate with what belongs to it and checks that key and
// certificate are a pair, but not what they are good for.
func readLeaf(f Files) (*leaf, error) {
	if _, err := os.Stat(f.Cert); errors.Is(err, fs.ErrNotExist) {
		return nil, &FileError{File: f.Cert, Problem: "does not exist", Hint: hintIssue, Err: errors.Join(ErrNoCertificate, fs.ErrNotExist)}
	}
	if f.Dir != "" {
		if err := checkDir(f.Dir); err != nil {
			return nil, err
		}
	}
	// Another process may replace certificate and key between our two reads.
	const attempts = 3
	for attempt := 1; ; attempt++ {
		l, err := readPair(f)
		if !errors.Is(err, ErrMismatch) || attempt == attempts {
			return l, err
		}
	}
}

func readPair(f Files) (*leaf, error) {
	chain, err := readCertificates(f.Cert)
	if err != nil {
		return nil, err
	}
	roots, err := readCertificates(f.CA)
	if err != nil {
		return nil, err
	}
	key, err := readKey(f.Key)
	// In a directory's first pair the key waits while there is none in its place.
	waits := f.Dir != "" && errors.Is(err, fs.ErrNotExist)
	if err != nil && !waits {
		return nil, err
	}
	l := &leaf{cert: chain[0], chain: chain, key: key, roots: roots}
	if err == nil && sameKey(l.cert, key) {
		return l, nil
	}
	if f.Dir != "" {
		if next, err := readKey(f.nextKey()); err == nil && sameKey(l.cert, next) {
			l.key = next
			return l, nil
		}
	}
	if err != nil {
		return nil, err
	}
	return nil, &FileError{File: f.Key, Problem: "is not the key of " + f.Cert, Hint: "bring the pair that was made together", Err: ErrMismatch}
}

// writeLeaf puts a certificate, its key and its root into a state directory.
// Each file is replaced as a whole, and the rename of the certificate decides
// for all: until then the old pair is in place and the new key waits beside it,
// and from then on the certificate's key is found waiting. A reader at any
// moment, and after a crash at any moment, thus has the old pair or the new.
func writeLeaf(f Files, l *leaf) error {
	key, err := encodeKey(l.key)
	if err != nil {
		return err
	}
	if err := settle(f); err != nil {
		return err
	}
	if err := replaceFile(f.CA, encodeCertificates(l.roots...), certMode); err != nil {
		return err
	}
	if err := replaceFile(f.nextKey(), key, keyMode); err != nil {
		return err
	}
	if err := replaceFile(f.Cert, encodeCertificates(l.chain...), certMode); err != nil {
		return err
	}
	return settle(f)
}

// settle puts a waiting key in its place if its certificate came.
func settle(f Files) error {
	next, err := readKey(f.nextKey())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	chain, errCert := readCertificates(f.Cert)
	if err != nil || errCert != nil || !sameKey(chain[0], next) {
		return nil // it never came; the next writer replaces the key
	}
	if err := os.Rename(f.nextKey(), f.Key); err != nil {
		return fmt.Errorf("writing %s: %w", f.Key, err)
	}
	return syncDir(f.Dir)
}
