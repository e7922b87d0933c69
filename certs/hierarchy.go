package certs

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"time"
)

// When root and issuer are renewed. An issuer has four times a leaf's life left
// then, and some months in which a sealed root key can be opened by hand. A root
// is followed by the next one while it can still sign an issuer for a full year:
// by its end every peer has long had the next one, with one of its renewals.
const (
	issuerRenewal = 120 * 24 * time.Hour
	rootRenewal   = issuerLife
)

// nextRootKey is where a new root's key waits for its certificate; see leaf.go's
// writeLeaf, which does the same.
const nextRootKey = rootKey + ".next"

// load reads roots and issuers.
func (ca *CA) load() error {
	roots, err := readCertificates(ca.path(rootCert))
	if err != nil {
		return err
	}
	issuers, err := readCertificates(ca.path(issuerCert))
	if err != nil {
		return err
	}
	key, err := readKey(ca.path(issuerKey))
	if err != nil {
		return err
	}
	for _, root := range roots {
		if len(root.PermittedURIDomains) != 1 || CheckTrustDomain(root.PermittedURIDomains[0]) != nil {
			return malformed(ca.path(rootCert), errors.New("not a root that ambassador made"), hintRemake)
		}
	}
	if !sameKey(issuers[0], key) {
		return &FileError{File: ca.path(issuerKey), Problem: "is not the key of " + issuerCert + " beside it", Hint: hintRemake, Err: ErrMismatch}
	}
	// One of a root that has gone meanwhile is of no use any more.
	issuers = slices.DeleteFunc(issuers, func(i *x509.Certificate) bool { return signerOf(i, roots) == nil || !sameKey(i, key) })
	if len(issuers) == 0 {
		return &FileError{File: ca.path(issuerCert), Problem: "was not signed by " + rootCert + " beside it", Hint: hintRemake, Err: ErrWrongCA}
	}
	ca.roots, ca.issuers, ca.key, ca.trustDomain = roots, issuers, key, roots[0].PermittedURIDomains[0]
	return nil
}

// signerOf is the one of some roots that signed a certificate, or nil.
func signerOf(cert *x509.Certificate, roots []*x509.Certificate) *x509.Certificate {
	for _, root := range roots {
		if cert.CheckSignatureFrom(root) == nil {
			return root
		}
	}
	return nil
}

// due says whether root or issuer should be renewed.
func (ca *CA) due() bool { return ca.rootDue() || ca.issuerDue() }

func (ca *CA) rootDue() bool { return ca.roots[0].NotAfter.Sub(ca.now()) < rootRenewal }

func (ca *CA) issuerDue() bool {
	return ca.issuers[0].NotAfter.Sub(ca.now()) < issuerRenewal || ca.issuers[0].CheckSignatureFrom(ca.roots[0]) != nil
}

// canWait says whether the CA can go on for now though its renewal failed: while
// the issuer can still work, and for want of the root key alone.
func (ca *CA) canWait(err error) bool {
	return (errors.Is(err, ErrSealed) || errors.Is(err, fs.ErrNotExist)) && ca.now().Before(ca.issuers[0].NotAfter)
}

// renew renews what is due, and whatever its age, with newRoot the root, with
// newIssuer the issuer. The caller holds the lock.
func (ca *CA) renew(passphrase []byte, newRoot, newIssuer bool) error {
	if !newRoot && !newIssuer && !ca.due() {
		return nil
	}
	if ca.roots[0].NotAfter.Before(ca.now()) {
		return &FileError{File: ca.path(rootCert), Problem: "has expired on " + date(ca.roots[0].NotAfter), Hint: hintRemake, Err: ErrExpired}
	}
	secret, err := ca.openRoot(passphrase)
	if err != nil {
		return ca.unrenewed(err)
	}
	if secret.waiting {
		if err := ca.settleRoot(); err != nil {
			return err
		}
	}
	root, issuers := secret.signer, ca.issuers
	if newRoot || ca.rootDue() {
		// The old root vouches for the issuer as long as it can: peers that do not
		// know the new one yet verify by it.
		last, err := ca.signIssuer(root)
		if err != nil {
			return err
		}
		issuers = append([]*x509.Certificate{last}, ca.issuers...)
		if !secret.sealed {
			passphrase = nil
		}
		if root, err = ca.replaceRoot(passphrase); err != nil {
			return err
		}
	}
	issuer, err := ca.signIssuer(root)
	if err != nil {
		return err
	}
	ca.issuers = ca.oneForEachRoot(append([]*x509.Certificate{issuer}, issuers...))
	return replaceFile(ca.path(issuerCert), encodeCertificates(ca.issuers...), certMode)
}

// unrenewed says of an issuer that has ended why it was not renewed.
func (ca *CA) unrenewed(cause error) error {
	if ca.now().Before(ca.issuers[0].NotAfter) || !errors.Is(cause, ErrSealed) && !errors.Is(cause, fs.ErrNotExist) {
		return cause
	}
	return &FileError{
		File: ca.path(issuerCert), Problem: "has expired on " + date(ca.issuers[0].NotAfter),
		Hint: fmt.Sprintf("%v, to any \"ambassador certs\" command that makes certificates", cause),
		Err:  errors.Join(ErrExpired, cause),
	}
}

// signIssuer gives the issuer's key a new certificate. The key stays, so that
// one rename does it, and chains through the old certificates stay good.
func (ca *CA) signIssuer(root *signer) (*x509.Certificate, error) {
	key, ok := ca.key.(*ecdsa.PrivateKey)
	if !ok {
		return nil, malformed(ca.path(issuerKey), errors.New("not an ECDSA key"), hintRemake)
	}
	issuer, err := newIssuer(root, ca.trustDomain, key, ca.now())
	if err != nil {
		return nil, err
	}
	return issuer.cert, nil
}

// oneForEachRoot keeps the first issuer of each root, and none that has expired.
func (ca *CA) oneForEachRoot(issuers []*x509.Certificate) []*x509.Certificate {
	var kept []*x509.Certificate
	var by []*x509.Certificate
	for _, i := range issuers {
		root := signerOf(i, ca.roots)
		if root == nil || slices.Contains(by, root) || i.NotAfter.Before(ca.now()) {
			continue
		}
		kept, by = append(kept, i), append(by, root)
	}
	return kept
}

// replaceRoot makes a new root in front of those before it that have not
// expired. The rename of the certificates decides: until then the new key waits
// beside the old one, and from then on it is found waiting.
func (ca *CA) replaceRoot(passphrase []byte) (*signer, error) {
	root, err := newRoot(ca.trustDomain, ca.now())
	if err != nil {
		return nil, err
	}
	key, err := encodeRootKey(root.key, passphrase, sealCost{})
	if err != nil {
		return nil, err
	}
	if err := replaceFile(ca.path(nextRootKey), key, keyMode); err != nil {
		return nil, err
	}
	old := slices.DeleteFunc(slices.Clone(ca.roots), func(r *x509.Certificate) bool { return r.NotAfter.Before(ca.now()) })
	ca.roots = append([]*x509.Certificate{root.cert}, old...)
	if err := replaceFile(ca.path(rootCert), encodeCertificates(ca.roots...), certMode); err != nil {
		return nil, err
	}
	return root, ca.settleRoot()
}

func (ca *CA) settleRoot() error {
	if err := os.Rename(ca.path(nextRootKey), ca.path(rootKey)); err != nil {
		return fmt.Errorf("writing %s: %w", ca.path(rootKey), err)
	}
	return syncDir(ca.path(""))
}

// rootSecret is the newest root with its key.
type rootSecret struct {
	*signer
	sealed  bool
	waiting bool // in nextRootKey: a crash came between a new root and its key
}

func (ca *CA) openRoot(passphrase []byte) (*rootSecret, error) {
	key, sealed, err := readRootKey(ca.path(rootKey), passphrase)
	if err == nil && sameKey(ca.roots[0], key) {
		return &rootSecret{&signer{ca.roots[0], key}, sealed, false}, nil
	}
	next, sealed, errNext := readRootKey(ca.path(nextRootKey), passphrase)
	if errNext == nil && sameKey(ca.roots[0], next) {
		return &rootSecret{&signer{ca.roots[0], next}, sealed, true}, nil
	}
	if err == nil {
		err = &FileError{File: ca.path(rootKey), Problem: "is not the key of " + rootCert + " beside it", Hint: "restore it from a backup", Err: ErrMismatch}
	}
	return nil, err
}

func readRootKey(file string, passphrase []byte) (key crypto.Signer, sealed bool, err error) {
	data, err := readSecret(file)
	if err != nil {
		return nil, false, err
	}
	if block, _ := pem.Decode(data); block != nil && block.Type == sealedType {
		if passphrase == nil {
			return nil, true, &FileError{File: file, Problem: "is sealed", Hint: "give its passphrase with --passphrase-file", Err: ErrSealed}
		}
		der, err := unseal(block, passphrase)
		if errors.Is(err, ErrPassphrase) {
			return nil, true, &FileError{File: file, Problem: "does not open with this passphrase", Hint: "give the one it was sealed with", Err: err}
		}
		if err != nil {
			return nil, true, malformed(file, err, "restore it from a backup")
		}
		sealed = true
		data = pem.EncodeToMemory(&pem.Block{Type: keyType, Bytes: der})
	}
	key, err = parseKey(file, data)
	return key, sealed, err
}
