package certs

import (
	"context"
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// Issued is a new certificate of a client, with its key.
type Issued struct {
	Identity Identity
	Links    []string // as granted; "*" stands for all
	NotAfter time.Time
	Serial   string // hex

	leaf *leaf
	ctx  context.Context // the CA's
}

// Issue makes a certificate for a client and records it and the grant. Without
// links a new client may use every link, and a known one keeps its grant: to
// issue again never widens it by an omission. With links they are the client's
// whole grant from now on. A client that was revoked is taken back by it. The
// error is ErrName, or that of a file.
func (ca *CA) Issue(name string, links []string) (issued *Issued, err error) {
	id := Identity{ca.trustDomain, RoleClient, name}
	if err := CheckName(name); err != nil {
		return nil, err
	}
	if err := checkLinks(links); err != nil {
		return nil, err
	}
	err = ca.locked(func(ca *CA) error {
		l, err := ca.newLeaf(id)
		if err != nil {
			return err
		}
		r, err := ca.remember(id, l.cert, func(r *ClientRecord, _ bool) {
			if len(links) > 0 {
				r.Links = sorted(links)
				r.Changes++
			}
		})
		issued = &Issued{Identity: id, Links: r.Links, NotAfter: l.cert.NotAfter, Serial: serialNumber(l.cert), leaf: l, ctx: ca.ctx}
		return err
	})
	if err != nil {
		return nil, err
	}
	return issued, nil
}

// IssueTo is Issue and WriteTo. It looks at the directory first, so that one
// which is refused changes no grant.
func (ca *CA) IssueTo(name string, links []string, dir string) (*Issued, error) {
	if err := CheckName(name); err != nil {
		return nil, err
	}
	if err := checkTarget(dir, Identity{ca.trustDomain, RoleClient, name}, ca.roots); err != nil {
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
	key, err := newKey()
	if err != nil {
		return nil, err
	}
	cert, err := ca.sign(id, key.Public())
	if err != nil {
		return nil, err
	}
	return &leaf{cert: cert, chain: ca.chain(cert), key: key, roots: ca.roots}, nil
}

// sign makes a certificate for a key.
func (ca *CA) sign(id Identity, pub crypto.PublicKey) (*x509.Certificate, error) {
	if now := ca.now(); !now.Before(ca.issuers[0].NotAfter) {
		return nil, &FileError{File: ca.path(issuerCert), Problem: "has expired on " + date(ca.issuers[0].NotAfter), Hint: "restart this command, which renews it", Err: ErrExpired}
	}
	return newLeaf(ca.issuer(), id, pub, ca.now())
}

// chain is what a leaf's holder presents: with it every peer that trusts one of
// the roots can verify it.
func (ca *CA) chain(cert *x509.Certificate) []*x509.Certificate {
	return append([]*x509.Certificate{cert}, ca.issuers...)
}

// WriteTo puts the certificate into a directory that is made if need be, as
// ca.pem, cert.pem and key.pem, so that it serves as a client's state directory.
// There it replaces a certificate of the same identity and CA, and none other:
// that is ErrOtherIdentity.
func (i *Issued) WriteTo(dir string) error {
	if err := checkTarget(dir, i.Identity, i.leaf.roots); err != nil {
		return err
	}
	if err := makeDir(dir); err != nil {
		return err
	}
	unlock, err := lockDir(background(i.ctx), dir)
	if err != nil {
		return err
	}
	defer unlock()
	if err := sweep(dir); err != nil {
		return err
	}
	return writeLeaf(StateFiles(dir), i.leaf)
}

// checkTarget says whether a client's certificate may be put into a directory.
func checkTarget(dir string, id Identity, roots []*x509.Certificate) error {
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
	if holder, ok := identityOf(chain[0]); !ok || holder != id {
		return refuse("holds the certificate of " + nameOf(chain[0]))
	}
	have, err := readCertificates(f.CA)
	if err == nil && !overlap(have, roots) {
		return refuse("holds a certificate of another CA with the same name")
	}
	return nil
}

// overlap says whether two lists have a certificate in common.
func overlap(a, b []*x509.Certificate) bool {
	return slices.ContainsFunc(a, func(c *x509.Certificate) bool { return slices.ContainsFunc(b, c.Equal) })
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
