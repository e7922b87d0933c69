package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"ambassador/certs"
)

// ownCertificate checks the state directory's files, or those given, as far as it
// can be done without the peer. It is nil when they cannot be used.
func (d *diagnosis) ownCertificate(f doctorFlags, role certs.Role, environ []string) (*certs.Credentials, error) {
	files, err := f.files.files(*f.find.stateDir, environ)
	if err != nil {
		return nil, err
	}
	if files.Dir != "" && !d.stateDir(files.Dir, role) {
		return nil, nil
	}
	c, err := certs.Load(files, role)
	if f.files.given() {
		err = f.files.blame(err)
	}
	if errors.Is(err, certs.ErrNoCertificate) && role == certs.RoleProvider && files.Dir != "" {
		d.ok(checkCertificate, "", `none in %s yet: "ambassador serve" makes one when it starts`, files.Dir)
		return nil, nil
	}
	d.certificate(files, c, err)
	return c, nil
}

// stateDir checks that there is one.
func (d *diagnosis) stateDir(dir string, role certs.Role) bool {
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist) && role == certs.RoleProvider:
		d.warn(checkStateDir, "", dir+" does not exist", `"ambassador serve" makes it, with a new CA, when it starts: if there should be one, check --state-dir and which user this is`)
		return false
	case errors.Is(err, fs.ErrNotExist):
		d.fail(checkStateDir, "", dir+" does not exist: this host has not joined a provider, or as another user", joinFirst)
		return false
	case err != nil:
		d.fail(checkStateDir, "", fmt.Sprintf("%s cannot be looked at: %v", dir, err), asItsUser)
		return false
	case !info.IsDir():
		d.fail(checkStateDir, "", dir+" is not a directory", "give another one with --state-dir")
		return false
	}
	d.ok(checkStateDir, "", "%s is there", dir)
	return true
}

// joinFirst is how a client comes by its certificate.
const joinFirst = `run "ambassador invite NAME" on the provider's host, then "ambassador connect HOST:PORT --join TOKEN" here; or check --state-dir`

// certificate notes what certs.Load made of our own files.
func (d *diagnosis) certificate(files certs.Files, c *certs.Credentials, err error) {
	if errors.Is(err, certs.ErrMode) {
		problem, fix := fileTrouble(err)
		d.fail(checkModes, "", problem, fix)
		return
	}
	// What is read before the key says nothing of the key's mode.
	if unread := errors.Is(err, certs.ErrMissing) || errors.Is(err, certs.ErrMalformed) || errors.Is(err, certs.ErrNoCertificate); !unread && !errors.Is(err, fs.ErrPermission) {
		d.ok(checkModes, "", "%s is for its owner alone", files.Key)
	}
	problem, fix := fileTrouble(err)
	switch {
	case err == nil:
		identity, _ := c.Identity() // was checked by Load
		d.ok(checkCertificate, "", "%s is %s", files.Cert, identity)
		d.expiry(c)
	case errors.Is(err, certs.ErrExpired):
		d.ok(checkCertificate, "", "%s, its key and its CA go together", files.Cert)
		d.fail(checkExpiry, "", problem, fix)
	case errors.Is(err, certs.ErrNotYetValid):
		d.ok(checkCertificate, "", "%s, its key and its CA go together", files.Cert)
		d.fail(checkClock, "", problem, fix)
	default:
		d.fail(checkCertificate, "", problem, fix)
	}
}

// fileTrouble is what is wrong with a file, and what to do.
func fileTrouble(err error) (problem, fix string) {
	if err == nil {
		return "", ""
	}
	file := (*certs.FileError)(nil)
	switch {
	case errors.As(err, &file) && file.Hint != "":
		return file.File + " " + file.Problem, file.Hint
	case errors.Is(err, fs.ErrPermission):
		return err.Error(), asItsUser + ", or give the file to that user"
	}
	return err.Error(), "restore the file from a backup, or make a new certificate"
}

// expiry checks how long our own certificate is still good.
func (d *diagnosis) expiry(c *certs.Credentials) {
	cert := c.Certificate()
	left := time.Until(cert.NotAfter)
	if left > cert.NotAfter.Sub(cert.NotBefore)/tellExpiry {
		d.ok(checkExpiry, "", "good until %s, for %s", day(cert.NotAfter), long(left))
		return
	}
	fix := "bring a new one from its CA"
	if c.Private() {
		fix = `it renews itself while "ambassador connect" or "ambassador serve" runs: start it, or see in its log why it does not`
	}
	d.warn(checkExpiry, "", fmt.Sprintf("good until %s, for no more than %s", day(cert.NotAfter), long(left)), fix)
}

// long is a time of days or hours as a person reads it.
func long(d time.Duration) string {
	switch {
	case d >= 48*time.Hour:
		return fmt.Sprintf("%d days", d/(24*time.Hour))
	case d >= 2*time.Hour:
		return fmt.Sprintf("%d hours", d/time.Hour)
	case d >= 2*time.Minute:
		return fmt.Sprintf("%d minutes", d/time.Minute)
	}
	return fmt.Sprintf("%d seconds", d/time.Second)
}
