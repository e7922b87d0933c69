package main

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"ambassador/certs"
	"ambassador/internal/link"
)

// ca looks at the provider's CA and at whom it lets in.
func (d *diagnosis) ca(dir string, links []link.Link) {
	s, err := certs.Look(dir, nil)
	switch {
	case errors.Is(err, certs.ErrNoCA):
		d.ok(checkCA, "", `none in %s yet: "ambassador serve" makes one when it starts`, dir)
		return
	case errors.Is(err, certs.ErrMode):
		problem, fix := fileTrouble(err)
		if !d.has(checkModes, failed) {
			d.fail(checkModes, "", problem, fix)
		}
		return
	case err != nil:
		problem, fix := fileTrouble(err)
		d.fail(checkCA, "", problem, fix)
		return
	}
	d.authority(s)
	d.lock(dir)
	d.setBack(s)
	d.grants(s, links)
	d.invitations(s)
}

// has says whether a check has come out so.
func (d *diagnosis) has(check string, v verdict) bool {
	return slices.ContainsFunc(d.Checks, func(f finding) bool { return f.Check == check && f.Verdict == v })
}

// authority checks root and issuer, and whether they can be renewed.
func (d *diagnosis) authority(s *certs.Survey) {
	const renew = `run "ambassador certs renew --passphrase-file FILE"`
	now := time.Now()
	switch {
	case now.After(s.Root.NotAfter):
		d.fail(checkCA, "", "its root has expired on "+day(s.Root.NotAfter), `to begin anew, move the state directory away, start "ambassador serve" and invite every client again`)
		return
	case now.After(s.Issuer.NotAfter) && s.Sealed:
		d.fail(checkSeal, "", fmt.Sprintf("the root key is sealed or kept elsewhere, and the issuer that it has to renew has expired on %s: no certificate can be made", day(s.Issuer.NotAfter)), renew)
		return
	case now.After(s.Issuer.NotAfter):
		d.fail(checkCA, "", "its issuer has expired on "+day(s.Issuer.NotAfter), `start "ambassador serve", which renews it, or see in its log why it could not`)
		return
	}
	d.ok(checkCA, "", "%s: root good until %s, issuer until %s", s.TrustDomain, day(s.Root.NotAfter), day(s.Issuer.NotAfter))
	switch {
	case s.Sealed && s.NeedsRoot:
		d.warn(checkSeal, "", fmt.Sprintf("the root key is sealed or kept elsewhere, and it is needed before %s to renew the issuer", day(s.Issuer.NotAfter)), renew)
	case s.Sealed:
		d.ok(checkSeal, "", "the root key is sealed or kept elsewhere, and not needed now")
	default:
		d.ok(checkSeal, "", "the root key is not sealed")
	}
}

// lock tells of a process that keeps others from changing the CA.
func (d *diagnosis) lock(dir string) {
	// A renewal or an invitation holds it for a moment.
	const patience = 500 * time.Millisecond
	for began := time.Now(); ; time.Sleep(patience / 10) {
		path, held, err := certs.Locked(dir)
		switch {
		case errors.Is(err, fs.ErrPermission):
			d.fail(checkLock, "", err.Error(), "run doctor as the user that \"ambassador serve\" runs as, and give the file to that user")
			return
		case err != nil:
			d.fail(checkLock, "", err.Error(), "check the file system: it has to support flock(2)")
			return
		case !held:
			d.ok(checkLock, "", "%s is free", path)
			return
		case time.Since(began) > patience:
			d.warn(checkLock, "", "another process holds "+path+", and invitations and renewals wait for it", fmt.Sprintf(`see which one with "fuser %s", and end it if it hangs`, path))
			return
		}
	}
}

// setBack compares the clock with the newest certificate.
func (d *diagnosis) setBack(s *certs.Survey) {
	now := time.Now()
	if last := s.LastIssued(); now.Add(apart).Before(last) {
		d.fail(checkClock, "", fmt.Sprintf("it says %s, and a certificate was made here on %s: it was set back", day(now), day(last)), "set this host's clock, and keep it right by NTP")
		return
	}
	if !d.has(checkClock, failed) {
		d.ok(checkClock, "", "it says %s, later than every certificate made here", day(now))
	}
}

// grants shows who may use what.
func (d *diagnosis) grants(s *certs.Survey, links []link.Link) {
	if s.Problem != nil {
		problem, fix := fileTrouble(s.Problem)
		d.fail(checkGrants, "", problem, fix)
	}
	offered := names(links)
	served := 0
	for _, c := range s.Clients {
		name := c.Name()
		switch {
		case c.Revoked:
			d.ok(checkGrants, name, "revoked: it is not let in")
			continue
		case len(c.Links) == 0:
			d.warn(checkGrants, name, "may use no link", fmt.Sprintf(`run "ambassador grant %s LINK"`, name))
			continue
		}
		served++
		missing := slices.DeleteFunc(slices.Clone(c.Links), func(l string) bool { return l == certs.EveryLink || slices.Contains(offered, l) })
		if len(missing) > 0 && len(offered) > 0 {
			d.warn(checkGrants, name, "may use "+strings.Join(missing, ", ")+", which is not offered here", fmt.Sprintf(`add --link to "ambassador serve", or run "ambassador revoke %s %s"`, name, strings.Join(missing, " ")))
			continue
		}
		if served <= mostListed {
			d.ok(checkGrants, name, "may use %s", strings.ReplaceAll(strings.Join(c.Links, ", "), certs.EveryLink, "every link"))
		}
	}
	if more := served - mostListed; more > 0 {
		d.ok(checkGrants, "", "%d further clients: \"ambassador certs list\" shows all", more)
	}
	if served == 0 && s.Problem == nil && len(s.Invitations) == 0 {
		d.warn(checkGrants, "", "no client may use anything here", `run "ambassador invite NAME --link LINK", and pass the token to "ambassador connect --join" on the client's host`)
	}
}

// invitations shows who may still come.
func (d *diagnosis) invitations(s *certs.Survey) {
	for _, i := range s.Invitations {
		if i.Used < i.Uses {
			d.ok(checkInvitations, i.Name(), "open until %s, used %d of %d times", day(i.Expires), i.Used, i.Uses)
		}
	}
}
