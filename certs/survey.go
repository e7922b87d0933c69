package certs

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// Survey is a provider's CA as its files are. To look at it changes nothing: what
// is due is not renewed, as [Open] does, and nobody waits for a lock.
type Survey struct {
	TrustDomain  string
	Root, Issuer *x509.Certificate // those in use
	// Sealed: the root key needs its passphrase, or is kept elsewhere. NeedsRoot: root
	// or issuer is due to be renewed, which takes that key.
	Sealed, NeedsRoot bool
	Clients           []ClientRecord
	Invitations       []Invitation // that have not expired
	// Problem is about clients and invitations that could not be read; nil if all
	// could.
	Problem error
}

// Look makes a survey of a state directory. Its errors are ErrNoCA, ErrMode,
// ErrMalformed, ErrMismatch, ErrWrongCA and those of files. Now is the clock; if
// nil, time.Now.
func Look(dir string, now func() time.Time) (*Survey, error) {
	ca := &CA{dir: dir, now: clock(now)}
	if _, err := os.Stat(ca.path(rootCert)); errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w in %s", ErrNoCA, dir)
	}
	for _, d := range []string{dir, filepath.Join(dir, caDir)} {
		if err := checkDir(d); err != nil {
			return nil, err
		}
	}
	if err := ca.load(); err != nil {
		return nil, err
	}
	s := &Survey{TrustDomain: ca.trustDomain, Root: ca.roots[0], Issuer: ca.issuers[0], NeedsRoot: ca.due()}
	key, err := readSecret(ca.path(rootKey))
	if err != nil && !errors.Is(err, fs.ErrNotExist) { // an operator may keep it elsewhere
		return nil, err
	}
	block, _ := pem.Decode(key)
	s.Sealed = block == nil || block.Type == sealedType
	clear(key)
	var errClients, errInvitations error
	s.Clients, errClients = ca.Clients()
	s.Invitations, errInvitations = ca.peekInvitations()
	s.Problem = errors.Join(errClients, errInvitations)
	return s, nil
}

// peekInvitations is [CA.Invitations] without the lock, and removes nothing.
func (ca *CA) peekInvitations() ([]Invitation, error) {
	ids, err := ca.invitationIDs()
	errs := []error{err}
	var open []Invitation
	for _, id := range ids {
		f, err := ca.readInvitation(id)
		if err != nil {
			errs = append(errs, err)
		} else if f != nil && f.Expires.After(ca.now()) {
			open = append(open, f.public(id))
		}
	}
	return open, errors.Join(errs...)
}

// LastIssued is when the newest certificate that the CA knows of was made: its
// time begins a little earlier. A clock that says less was set back since.
func (s *Survey) LastIssued() time.Time {
	newest := s.Root.NotBefore
	if s.Issuer.NotBefore.After(newest) {
		newest = s.Issuer.NotBefore
	}
	for _, c := range s.Clients {
		for _, cert := range c.Certificates {
			if cert.NotBefore.After(newest) {
				newest = cert.NotBefore
			}
		}
	}
	return newest.Add(backdate)
}

// Locked says whether another process is changing a CA's state directory at this
// moment, and the file that it holds. It does not wait.
func Locked(dir string) (path string, held bool, err error) {
	path = filepath.Join(dir, lockName)
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return path, false, nil
	}
	if err != nil {
		return path, false, err
	}
	defer f.Close()
	got, err := tryLock(f)
	return path, !got && err == nil, err
}
