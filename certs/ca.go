package certs

import (
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// The layout of a state directory; see the package comment.
const (
	caDir      = "ca"
	clientsDir = "clients"
	rootCert   = "root.crt"
	rootKey    = "root.key"
	issuerCert = "issuer.crt"
	issuerKey  = "issuer.key"
)

// defaultTrustDomain is that of a CA whose maker named none.
const defaultTrustDomain = "ambassador"

// InitOptions are how a CA is made.
type InitOptions struct {
	// TrustDomain stands in all identities of the CA. If empty, "ambassador".
	TrustDomain string
	// Passphrase seals the root key. If nil, it is not sealed.
	Passphrase []byte
	// Provider is the provider's name. If empty, the host's name with what
	// cannot stand in a name replaced, else "provider".
	Provider string
	// Now is the clock. If nil, time.Now.
	Now func() time.Time

	cost sealCost // if zero, defaultCost
}

// OpenOptions are how a CA is opened.
type OpenOptions struct {
	// Passphrase opens a sealed root key, and is checked if given. It is needed
	// only to renew the issuer.
	Passphrase []byte
	// Now is the clock. If nil, time.Now.
	Now func() time.Time
}

// CA is a private certificate authority in a state directory. Its methods may
// be called by several goroutines and processes at once: changes wait for each
// other by a lock file.
type CA struct {
	dir         string
	trustDomain string
	provider    string // name for the provider's own certificate
	root        *x509.Certificate
	issuer      *signer
	now         func() time.Time
}

// TrustDomain is that of all identities of the CA.
func (ca *CA) TrustDomain() string { return ca.trustDomain }

// Dir is the CA's state directory.
func (ca *CA) Dir() string { return ca.dir }

func clock(now func() time.Time) func() time.Time {
	if now == nil {
		return time.Now
	}
	return now
}

// Init makes a CA in a state directory, which is made if need be. It fails with
// ErrExists if there is one, with ErrOtherIdentity if the directory is a client's,
// and with ErrName. After a crash there is a whole CA
// or none.
func Init(dir string, o InitOptions) (_ *CA, err error) {
	if o.TrustDomain == "" {
		o.TrustDomain = defaultTrustDomain
	}
	if o.Provider == "" {
		o.Provider = hostName()
	}
	if err := CheckTrustDomain(o.TrustDomain); err != nil {
		return nil, err
	}
	if err := CheckName(o.Provider); err != nil {
		return nil, fmt.Errorf("provider: %w", err)
	}
	if err := makeDir(dir); err != nil {
		return nil, err
	}
	unlock, err := lockState(dir)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	if _, err := os.Lstat(filepath.Join(dir, caDir)); !errors.Is(err, fs.ErrNotExist) {
		if err != nil {
			return nil, err
		}
		return nil, fmt.Errorf("%w in %s: use it, or choose another state directory", ErrExists, filepath.Join(dir, caDir))
	}
	if err := checkOwner(StateFiles(dir)); err != nil {
		return nil, err
	}
	return create(dir, o)
}

// create makes the CA's folder under another name and renames it when it is
// whole.
func create(dir string, o InitOptions) (*CA, error) {
	ca := &CA{dir: dir, trustDomain: o.TrustDomain, provider: o.Provider, now: clock(o.Now)}
	if err := sweep(dir); err != nil {
		return nil, err
	}
	root, err := newRoot(o.TrustDomain, ca.now())
	if err != nil {
		return nil, err
	}
	key, err := newKey()
	if err != nil {
		return nil, err
	}
	ca.root = root.cert
	ca.issuer, err = newIssuer(root, o.TrustDomain, key, ca.now())
	if err != nil {
		return nil, err
	}
	unfinished, err := os.MkdirTemp(dir, caDir+temporary) // 0700
	if err != nil {
		return nil, err
	}
	err = writeCA(unfinished, root, ca.issuer, o)
	if err == nil {
		err = os.Rename(unfinished, filepath.Join(dir, caDir))
	}
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(unfinished))
	}
	return ca, syncDir(dir)
}

func writeCA(dir string, root, issuer *signer, o InitOptions) error {
	sealed, err := encodeRootKey(root, o)
	if err != nil {
		return err
	}
	plain, err := encodeKey(issuer.key)
	if err != nil {
		return err
	}
	return errors.Join(
		replaceFile(filepath.Join(dir, rootCert), encodeCertificates(root.cert), certMode),
		replaceFile(filepath.Join(dir, rootKey), sealed, keyMode),
		replaceFile(filepath.Join(dir, issuerCert), encodeCertificates(issuer.cert), certMode),
		replaceFile(filepath.Join(dir, issuerKey), plain, keyMode),
	)
}

func encodeRootKey(root *signer, o InitOptions) ([]byte, error) {
	if o.Passphrase == nil {
		return encodeKey(root.key)
	}
	der, err := x509.MarshalPKCS8PrivateKey(root.key)
	if err != nil {
		return nil, err
	}
	if o.cost == (sealCost{}) {
		o.cost = defaultCost
	}
	return seal(der, o.Passphrase, o.cost)
}

// Open opens the CA of a state directory. It needs no passphrase: the issuer's
// key does the work. In the issuer's last 30 days, a leaf's life, Open renews
// it if it can have the root key: if that is not sealed, or a passphrase is
// given.
//
// It fails with ErrNoCA, ErrMode, ErrMalformed, ErrMismatch, ErrWrongCA,
// ErrPassphrase, and with ErrExpired if the issuer is past its time and the
// root key sealed.
func Open(dir string, o OpenOptions) (*CA, error) {
	ca := &CA{dir: dir, now: clock(o.Now)}
	if _, err := os.Stat(ca.path(rootCert)); errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf(`%w in %s: run "ambassador certs init --state-dir %s"`, ErrNoCA, dir, dir)
	}
	for _, d := range []string{dir, filepath.Join(dir, caDir)} {
		if err := checkDir(d); err != nil {
			return nil, err
		}
	}
	if err := ca.load(); err != nil {
		return nil, err
	}
	ca.provider = providerName(dir)
	if o.Passphrase != nil {
		if _, err := ca.openRoot(o.Passphrase); err != nil {
			return nil, err
		}
	}
	if ca.now().Add(leafLife).Before(ca.issuer.cert.NotAfter) {
		return ca, nil
	}
	if err := ca.renewIssuer(o.Passphrase); err != nil {
		return nil, err
	}
	return ca, nil
}

// Ensure opens the CA of a state directory and makes one if there is none. It
// may be called by several processes at once: one of them makes it.
func Ensure(dir string, o InitOptions) (ca *CA, made bool, err error) {
	open := OpenOptions{Passphrase: o.Passphrase, Now: o.Now}
	ca, err = Open(dir, open)
	if !errors.Is(err, ErrNoCA) {
		return ca, false, err
	}
	ca, err = Init(dir, o)
	if errors.Is(err, ErrExists) {
		ca, err = Open(dir, open)
		return ca, false, err
	}
	return ca, err == nil, err
}

func (ca *CA) path(file string) string { return filepath.Join(ca.dir, caDir, file) }

// load reads root and issuer.
func (ca *CA) load() error {
	root, err := readOne(ca.path(rootCert))
	if err != nil {
		return err
	}
	issuer, err := readOne(ca.path(issuerCert))
	if err != nil {
		return err
	}
	key, err := readKey(ca.path(issuerKey))
	if err != nil {
		return err
	}
	if len(root.PermittedURIDomains) != 1 || CheckTrustDomain(root.PermittedURIDomains[0]) != nil {
		return malformed(ca.path(rootCert), errors.New("not a root that ambassador made"), hintRemake)
	}
	if !sameKey(issuer, key) {
		return &FileError{File: ca.path(issuerKey), Problem: "is not the key of " + issuerCert + " beside it", Hint: hintRemake, Err: ErrMismatch}
	}
	if err := issuer.CheckSignatureFrom(root); err != nil {
		return &FileError{File: ca.path(issuerCert), Problem: "was not signed by " + rootCert + " beside it", Hint: hintRemake, Err: ErrWrongCA}
	}
	ca.root, ca.issuer, ca.trustDomain = root, &signer{issuer, key}, root.PermittedURIDomains[0]
	return nil
}

func readOne(file string) (*x509.Certificate, error) {
	certs, err := readCertificates(file)
	if err != nil {
		return nil, err
	}
	return certs[0], nil
}

// openRoot reads the root's key.
func (ca *CA) openRoot(passphrase []byte) (*signer, error) {
	file := ca.path(rootKey)
	data, err := readSecret(file)
	if err != nil {
		return nil, err
	}
	if block, _ := pem.Decode(data); block != nil && block.Type == sealedType {
		if passphrase == nil {
			return nil, &FileError{File: file, Problem: "is sealed", Hint: "give its passphrase with --passphrase-file", Err: ErrSealed}
		}
		der, err := unseal(block, passphrase)
		if errors.Is(err, ErrPassphrase) {
			return nil, &FileError{File: file, Problem: "does not open with this passphrase", Hint: "give the one it was sealed with", Err: err}
		}
		if err != nil {
			return nil, malformed(file, err, "restore it from a backup")
		}
		data = pem.EncodeToMemory(&pem.Block{Type: keyType, Bytes: der})
	}
	key, err := parseKey(file, data)
	if err != nil {
		return nil, err
	}
	if !sameKey(ca.root, key) {
		return nil, &FileError{File: file, Problem: "is not the key of " + rootCert + " beside it", Hint: "restore it from a backup", Err: ErrMismatch}
	}
	return &signer{ca.root, key}, nil
}

// renewIssuer gives the issuer's key a new certificate. The key stays, so that
// one rename does it, and chains through the old certificate stay good.
func (ca *CA) renewIssuer(passphrase []byte) (err error) {
	now := ca.now()
	if ca.root.NotAfter.Before(now) {
		return &FileError{File: ca.path(rootCert), Problem: "has expired on " + date(ca.root.NotAfter), Hint: hintRemake, Err: ErrExpired}
	}
	root, err := ca.openRoot(passphrase)
	if err != nil {
		if errors.Is(err, ErrSealed) || errors.Is(err, fs.ErrNotExist) {
			return ca.unrenewed(err)
		}
		return err
	}
	unlock, err := lockState(ca.dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	key, ok := ca.issuer.key.(*ecdsa.PrivateKey)
	if !ok {
		return malformed(ca.path(issuerKey), errors.New("not an ECDSA key"), hintRemake)
	}
	issuer, err := newIssuer(root, ca.trustDomain, key, now)
	if err != nil {
		return err
	}
	ca.issuer = issuer
	return replaceFile(ca.path(issuerCert), encodeCertificates(issuer.cert), certMode)
}

// unrenewed is no error while the issuer can still work: its leaves end when it
// does.
func (ca *CA) unrenewed(cause error) error {
	if ca.now().Before(ca.issuer.cert.NotAfter) {
		return nil
	}
	return &FileError{
		File: ca.path(issuerCert), Problem: "has expired on " + date(ca.issuer.cert.NotAfter),
		Hint: fmt.Sprintf("%v, to any \"ambassador certs\" command that makes certificates", cause),
		Err:  errors.Join(ErrExpired, cause),
	}
}

// date is a time as messages show it.
func date(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") }
