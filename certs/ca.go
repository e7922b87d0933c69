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
	// Context ends waits for other processes, of the CA's methods too: see
	// [CA.With]. If nil, nothing does.
	Context context.Context
	// Now is the clock. If nil, time.Now.
	Now func() time.Time

	cost sealCost // if zero, defaultCost
}

// OpenOptions are how a CA is opened.
type OpenOptions struct {
	// Passphrase opens a sealed root key, and is checked if given. It is needed
	// only to renew the issuer.
	Passphrase []byte
	// Context is as in InitOptions.
	Context context.Context
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
	now         func() time.Time
	ctx         context.Context // ends waits for the lock; nil for none

	// What follows is never changed: whoever is to see a change reads the files
	// again, as locked does.
	roots   []*x509.Certificate // newest first; those before it are still trusted
	issuers []*x509.Certificate // of one key; newest first, one for each root that signed it
	key     crypto.Signer       // the issuer's
}

// issuer is what signs leaves.
func (ca *CA) issuer() *signer { return &signer{ca.issuers[0], ca.key} }

// locked calls do with the CA as its files are now, while nobody else changes
// them.
func (ca *CA) locked(do func(*CA) error) (err error) {
	unlock, err := lockState(background(ca.ctx), ca.dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	current := &CA{dir: ca.dir, provider: ca.provider, now: ca.now, ctx: ca.ctx}
	if err := current.load(); err != nil {
		return err
	}
	return do(current)
}

// With is the CA whose methods wait for other processes until ctx is done, and
// return its error then. [OnWait] makes them tell that they wait.
func (ca *CA) With(ctx context.Context) *CA {
	with := *ca
	with.ctx = ctx
	return &with
}

func background(ctx context.Context) context.Context {
	if ctx == nil {
		return context.Background()
	}
	return ctx
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
	unlock, err := lockState(background(o.Context), dir)
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
	ca := &CA{dir: dir, trustDomain: o.TrustDomain, provider: o.Provider, now: clock(o.Now), ctx: o.Context}
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
	issuer, err := newIssuer(root, o.TrustDomain, key, ca.now())
	if err != nil {
		return nil, err
	}
	ca.roots, ca.issuers, ca.key = []*x509.Certificate{root.cert}, []*x509.Certificate{issuer.cert}, key
	unfinished, err := os.MkdirTemp(dir, caDir+temporary) // 0700
	if err != nil {
		return nil, err
	}
	err = errors.Join(giveDir(unfinished), writeCA(unfinished, root, issuer, o))
	if err == nil {
		err = os.Rename(unfinished, filepath.Join(dir, caDir))
	}
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(unfinished))
	}
	return ca, syncDir(dir)
}

func writeCA(dir string, root, issuer *signer, o InitOptions) error {
	sealed, err := encodeRootKey(root.key, o.Passphrase, o.cost)
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

func encodeRootKey(key crypto.Signer, passphrase []byte, cost sealCost) ([]byte, error) {
	if passphrase == nil {
		return encodeKey(key)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	if cost == (sealCost{}) {
		cost = defaultCost
	}
	return seal(der, passphrase, cost)
}

// Open opens the CA of a state directory. It needs no passphrase: the issuer's
// key does the work. It renews what is due of issuer and root, as [CA.Maintain]
// does, if it can have the root key: if that is not sealed, or a passphrase is
// given.
//
// It fails with ErrNoCA, ErrMode, ErrMalformed, ErrMismatch, ErrWrongCA,
// ErrPassphrase, and with ErrExpired if the issuer is past its time and the
// root key sealed.
func Open(dir string, o OpenOptions) (*CA, error) {
	ca := &CA{dir: dir, now: clock(o.Now), ctx: o.Context}
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
	if !ca.due() {
		return ca, nil
	}
	err := ca.locked(func(current *CA) error { return current.renew(o.Passphrase, false, false) })
	if err != nil && !ca.canWait(err) {
		return nil, err
	}
	return ca, ca.load()
}

// Ensure opens the CA of a state directory and makes one if there is none. It
// may be called by several processes at once: one of them makes it.
func Ensure(dir string, o InitOptions) (ca *CA, made bool, err error) {
	open := OpenOptions{Passphrase: o.Passphrase, Context: o.Context, Now: o.Now}
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

// date is a time as messages show it.
func date(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") }
