package certs

import (
	"crypto/x509"
	"errors"
	"io/fs"
	"slices"
	"time"
)

// EnsureProvider sees to the provider's own certificate in the CA's state
// directory, and says whether it made one: where it is missing, past half of
// its life, or does not go with the CA. A certificate there of somebody else,
// such as a client's, is not replaced: that is ErrOtherIdentity.
func (ca *CA) EnsureProvider() (made bool, err error) {
	err = ca.locked(func(ca *CA) error {
		if err := sweep(ca.dir); err != nil {
			return err
		}
		made, err = ca.ensureProvider(func(l *leaf) bool { return ca.now().Before(partOfLife(l.cert, 0.5)) })
		return err
	})
	return made, err
}

// ensureProvider makes the provider's certificate anew where the one that is
// there is no good, or no longer fresh.
func (ca *CA) ensureProvider(fresh func(*leaf) bool) (made bool, err error) {
	f := StateFiles(ca.dir)
	id := Identity{ca.trustDomain, RoleProvider, ca.provider}
	good, err := ca.goodProvider(f, id, fresh)
	if good || err != nil {
		return false, err
	}
	l, err := ca.newLeaf(id)
	if err != nil {
		return false, err
	}
	return true, writeLeaf(f, l)
}

// goodProvider says whether the provider's certificate can stay. An error means
// that it is not ours to replace.
func (ca *CA) goodProvider(f Files, id Identity, fresh func(*leaf) bool) (bool, error) {
	if err := checkOwner(f); err != nil {
		return false, err
	}
	l, err := readLeaf(f)
	if errors.Is(err, ErrMode) {
		return false, err
	}
	if err != nil {
		return false, nil // missing, or without the key or root that goes with it: no use to anyone
	}
	have, _ := l.identity()
	roots := slices.EqualFunc(l.roots, ca.roots, (*x509.Certificate).Equal)
	return have == id && fresh(l) && roots && l.verify(ca.now(), x509.ExtKeyUsageServerAuth) == nil, nil
}

// partOfLife is when a part of a certificate's life is over: 0.5 is half.
func partOfLife(cert *x509.Certificate, part float64) time.Time {
	return cert.NotBefore.Add(time.Duration(part * float64(cert.NotAfter.Sub(cert.NotBefore))))
}

// checkOwner refuses a directory that holds the certificate of somebody else
// than a provider of ours.
func checkOwner(f Files) error {
	chain, err := readCertificates(f.Cert)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if id, ok := identityOf(chain[0]); !ok || id.Role != RoleProvider {
		return &FileError{
			File: f.Cert, Problem: "is the certificate of " + nameOf(chain[0]),
			Hint: "give the provider a state directory of its own with --state-dir", Err: ErrOtherIdentity,
		}
	}
	return nil
}

// providerName is the name that a provider goes by already, else the host's.
func providerName(dir string) string {
	chain, err := readCertificates(StateFiles(dir).Cert)
	if err == nil {
		if id, ok := identityOf(chain[0]); ok && id.Role == RoleProvider {
			return id.Name
		}
	}
	return hostName()
}
