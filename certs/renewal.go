package certs

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"
)

// Renew gets a new certificate with a fresh key from the provider, for the
// current one, and uses it for new handshakes from then on. Where another
// process has renewed it in the same files, it takes that. With an error what was
// in use stays so, on disk too.
//
// The credentials have to be a client's of a private CA. The errors are those of
// [Join] and ErrRevoked, ErrUnknownClient, ErrExpired.
func (c *Credentials) Renew(ctx context.Context, dial DialFunc) error {
	m := c.current.Load()
	if !c.Renewable() {
		return errors.New("only a client's certificate of a private CA can be renewed here")
	}
	unlock, err := lockDir(ctx, c.files.Dir)
	if err != nil {
		return err
	}
	defer unlock()
	if changed, err := c.Reload(); err != nil || changed {
		return err
	}
	if err := sweep(c.files.Dir); err != nil {
		return err
	}
	key, err := pendingKey(c.files)
	if err != nil {
		return err
	}
	config := c.ClientConfig("")
	config.NextProtos = []string{EnrolProtocol}
	l, _, err := enrol(ctx, dial, config, key, enrolRequest{})
	if err != nil {
		return err
	}
	if err := checkGiven(l, key, func(roots []*x509.Certificate) bool { return overlap(roots, m.rootList) }); err != nil {
		return err
	}
	if id, _ := l.identity(); id != m.self {
		return fmt.Errorf("%w: it sent one for %s, expected %s", ErrEnrolment, id, m.self)
	}
	if err := writeLeaf(c.files, l); err != nil {
		return err
	}
	_, err = c.Reload()
	return err
}

// Renewable says whether Renew can do it: for a client's certificate of a private
// CA, in a state directory.
func (c *Credentials) Renewable() bool {
	return c.current.Load().private && c.role == RoleClient && c.files.Dir != ""
}

// Maintenance is what [CA.Maintain] did.
type Maintenance struct {
	Root, Issuer bool // were made anew
	Provider     bool // the provider's own certificate was made anew
}

// Maintain renews root and issuer when that is due, and the provider's own
// certificate when it is due or does not go with them any more. A running
// provider calls it every half minute, with due from [RenewalTime]. It reads the
// files anew, so that it follows other processes.
//
// A root key that is sealed comes as ErrSealed, from the day on that it is
// needed: 120 days before the issuer's end. All else is done then.
func (ca *CA) Maintain(passphrase []byte, due time.Time) (done Maintenance, err error) {
	err = ca.locked(func(ca *CA) error {
		if err := errors.Join(sweep(ca.dir), sweep(ca.path(""))); err != nil {
			return err
		}
		root, issuer := ca.roots[0], ca.issuers[0]
		_, errSweep := ca.openInvitations() // removes those that have expired
		errRenew := ca.renew(passphrase, false, false)
		done.Root, done.Issuer = !root.Equal(ca.roots[0]), !issuer.Equal(ca.issuers[0])
		made, errProvider := ca.ensureProvider(func(*leaf) bool { return ca.now().Before(due) })
		done.Provider = made
		return errors.Join(errRenew, errProvider, errSweep)
	})
	return done, err
}

// RenewNow makes issuer and provider's certificate anew whatever their age, and
// with newRoot the root: clients get it with their next renewal, and trust both
// until the old one ends. The errors are ErrSealed, ErrPassphrase, and those of
// files.
func (ca *CA) RenewNow(passphrase []byte, newRoot bool) error {
	return ca.locked(func(ca *CA) error {
		if err := errors.Join(sweep(ca.dir), sweep(ca.path(""))); err != nil {
			return err
		}
		if err := ca.renew(passphrase, newRoot, true); err != nil {
			return err
		}
		_, err := ca.ensureProvider(func(*leaf) bool { return false })
		return err
	})
}

// The part of a certificate's life after which it is renewed, at random: a fleet
// that was set up in one hour does not renew in one hour.
const (
	renewFrom = 0.5
	renewTo   = 0.7
)

// RenewalTime draws the moment at which a certificate is to be renewed: at 50 to
// 70 % of its life.
func RenewalTime(cert *x509.Certificate) time.Time {
	return partOfLife(cert, renewFrom+rand.Float64()*(renewTo-renewFrom))
}

// How the pauses between attempts to renew grow.
const (
	renewalCheck      = 30 * time.Second
	firstRenewalPause = 30 * time.Second
	maxRenewalPause   = time.Hour
)

// Renewal keeps a certificate from expiring. Set the fields before Run and do
// not change them afterwards.
type Renewal struct {
	// Current is the certificate in use. It must be set.
	Current func() *x509.Certificate
	// Renew puts a new one in its place. It must be set.
	Renew func(context.Context) error
	// Report is told how each attempt went. If nil, nobody is.
	Report func(RenewalStatus)
	// Wake makes Run look at once, such as after a reload. It may be nil.
	Wake <-chan struct{}
	// Now is the wall clock. If nil, time.Now.
	Now func() time.Time

	mu     sync.Mutex
	status RenewalStatus
}

// Status is how it stands: the zero value before Run. It may be called at any
// time.
func (r *Renewal) Status() RenewalStatus {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.status
}

func (r *Renewal) note(s RenewalStatus) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.status = s
}

// RenewalStatus is how a renewal stands.
type RenewalStatus struct {
	NotAfter time.Time // of the certificate in use
	Due      time.Time // when it is to be renewed
	Err      error     // of the last attempt; nil after one that went well
	Next     time.Time // the next attempt after a failure
}

// Run renews when it is due until ctx is done. Every 30 s it looks at the wall
// clock: a timer of days would stand still in a machine that sleeps.
func (r *Renewal) Run(ctx context.Context) {
	now := r.Now
	if now == nil {
		now = time.Now
	}
	tick := time.NewTicker(renewalCheck)
	defer tick.Stop()
	var watched *x509.Certificate
	var status RenewalStatus
	pause := firstRenewalPause
	for {
		if cert := r.Current(); watched == nil || !cert.Equal(watched) {
			watched, pause = cert, firstRenewalPause
			status = RenewalStatus{NotAfter: cert.NotAfter, Due: RenewalTime(cert)}
			r.note(status)
		}
		// Round strips the reading of the clock that stands still in sleep.
		at := now().Round(0)
		if status.Next.Sub(at) > maxRenewalPause {
			status.Next = at // the clock was ahead when it was set, by years perhaps
		}
		if !at.Before(status.Due) && !at.Before(status.Next) {
			status.Err = r.Renew(ctx)
			if ctx.Err() != nil {
				return
			}
			if cert := r.Current(); status.Err == nil && !cert.Equal(watched) {
				watched, pause = cert, firstRenewalPause
				status = RenewalStatus{NotAfter: cert.NotAfter, Due: RenewalTime(cert)}
			} else {
				status.Next = now().Round(0).Add(pause)
				pause = min(2*pause, maxRenewalPause)
			}
			r.note(status)
			if r.Report != nil {
				r.Report(status)
			}
		}
		select {
		case <-tick.C:
		case <-r.Wake:
		case <-ctx.Done():
			return
		}
	}
}
