package certs

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// Issued is a new certificate of a client, with its key.
type Issued struct {
	Identity Identity
	Links    []string // as granted; "*" stands for all
	NotAfter time.Time
	Serial   string // hex

	leaf *leaf
}

// Issue makes a certificate for a client and records it and the grant. Without
// links a new client may use every link, and a known one keeps its grant: to
// issue again never widens it by an omission. With links they are the client's
// whole grant from now on. The error is ErrName, or that of a file.
func (ca *CA) Issue(name string, links []string) (_ *Issued, err error) {
	id := Identity{ca.trustDomain, RoleClient, name}
	if err := CheckName(name); err != nil {
		return nil, err
	}
	if err := checkLinks(links); err != nil {
		return nil, err
	}
	unlock, err := lockState(ca.dir)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	l, err := ca.newLeaf(id)
	if err != nil {
		return nil, err
	}
	r, err := ca.remember(id, links, l.cert)
	if err != nil {
		return nil, err
	}
	return &Issued{Identity: id, Links: r.Links, NotAfter: l.cert.NotAfter, Serial: serialNumber(l.cert), leaf: l}, nil
}

// IssueTo is Issue and WriteTo. It looks at the directory first, so that one
// which is refused changes no grant.
func (ca *CA) IssueTo(name string, links []string, dir string) (*Issued, error) {
	if err := CheckName(name); err != nil {
		return nil, err
	}
	if err := checkTarget(dir, Identity{ca.trustDomain, RoleClient, name}, ca.root); err != nil {
		return nil, err
	}
	i, err := ca.Issue(name, links)
	if err != nil {
		return nil, err
	}
	return i, i.WriteTo(dir)
}

// newLeaf makes a certificate with a fresh key.
func (ca *CA) newLeaf(id Identity) (*leaf, error) {
	if now := ca.now(); !now.Before(ca.issuer.cert.NotAfter) {
		return nil, &FileError{File: ca.path(issuerCert), Problem: "has expired on " + date(ca.issuer.cert.NotAfter), Hint: "restart this command, which renews it", Err: ErrExpired}
	}
	key, err := newKey()
	if err != nil {
		return nil, err
	}
	cert, err := newLeaf(ca.issuer, id, key.Public(), ca.now())
	if err != nil {
		return nil, err
	}
	return &leaf{cert: cert, chain: []*x509.Certificate{cert, ca.issuer.cert}, key: key, roots: []*x509.Certificate{ca.root}}, nil
}

// WriteTo puts the certificate into a directory that is made if need be, as
// ca.pem, cert.pem and key.pem, so that it serves as a client's state directory.
// There it replaces a certificate of the same identity and CA, and none other:
// that is ErrOtherIdentity.
func (i *Issued) WriteTo(dir string) error {
	if err := checkTarget(dir, i.Identity, i.leaf.roots[0]); err != nil {
		return err
	}
	if err := makeDir(dir); err != nil {
		return err
	}
	defer lockDir(dir)()
	if err := sweep(dir); err != nil {
		return err
	}
	return writeLeaf(StateFiles(dir), i.leaf)
}

// checkTarget says whether a client's certificate may be put into a directory.
func checkTarget(dir string, id Identity, root *x509.Certificate) error {
	const hint = "choose another directory for %s, or empty this one"
	f := StateFiles(dir)
	refuse := func(problem string) error {
		return &FileError{File: dir, Problem: problem, Hint: fmt.Sprintf(hint, id), Err: ErrOtherIdentity}
	}
	if _, err := os.Lstat(filepath.Join(dir, caDir)); err == nil {
		return refuse("is the state directory of a CA")
	}
	chain, err := readCertificates(f.Cert)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return refuse(fmt.Sprintf("holds a certificate that cannot be read (%v)", err))
	}
	if have, ok := identityOf(chain[0]); !ok || have != id {
		return refuse("holds the certificate of " + nameOf(chain[0]))
	}
	roots, err := readCertificates(f.CA)
	if err == nil && !roots[0].Equal(root) {
		return refuse("holds a certificate of another CA with the same name")
	}
	return nil
}

// EnsureProvider sees to the provider's own certificate in the CA's state
// directory, and says whether it made one: where it is missing, past half of
// its life, or does not go with the CA. A certificate there of somebody else,
// such as a client's, is not replaced: that is ErrOtherIdentity.
func (ca *CA) EnsureProvider() (made bool, err error) {
	unlock, err := lockState(ca.dir)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	if err := sweep(ca.dir); err != nil {
		return false, err
	}
	f := StateFiles(ca.dir)
	id := Identity{ca.trustDomain, RoleProvider, ca.provider}
	good, err := ca.goodProvider(f, id)
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
func (ca *CA) goodProvider(f Files, id Identity) (bool, error) {
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
	half := l.cert.NotBefore.Add(l.cert.NotAfter.Sub(l.cert.NotBefore) / 2)
	now := ca.now()
	return have == id && now.Before(half) && l.roots[0].Equal(ca.root) && l.verify(now, x509.ExtKeyUsageServerAuth) == nil, nil
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

// nameOf is a certificate's holder for a message.
func nameOf(cert *x509.Certificate) string {
	if name, err := peerName(cert); err == nil {
		return name
	}
	if s := cert.Subject.String(); s != "" {
		return s
	}
	return "a holder without a name"
}
