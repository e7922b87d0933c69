package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"ambassador/certs"
	"ambassador/internal/live"

	"go.uber.org/zap"
)

const (
	// lookEvery is how often files are looked at: what another process changes
	// counts within a second or two.
	lookEvery = time.Second
	// maintainEvery is how often the wall clock is looked at.
	maintainEvery = 30 * time.Second
	// A certificate that ends is told of when a quarter of its life is left, each
	// hour: what renews itself has tried for a week then.
	tellExpiry      = 4
	tellExpiryEvery = time.Hour
	// tellGrantsEvery is how often it is told that grants cannot be read.
	tellGrantsEvery = time.Minute
)

// upkeep is what goes on beside a service: files that change are taken over, and
// certificates are renewed. Its parts run until stop.
type upkeep struct {
	cancel context.CancelFunc
	parts  sync.WaitGroup
}

// begin runs each part in a goroutine of its own, until ctx is done at the latest.
func begin(ctx context.Context, parts ...func(context.Context)) *upkeep {
	u := &upkeep{}
	ctx, cancel := context.WithCancel(ctx)
	u.cancel = cancel
	for _, part := range parts {
		u.parts.Go(func() { part(ctx) })
	}
	return u
}

func (u *upkeep) stop() {
	u.cancel()
	u.parts.Wait()
}

// every calls look now and again, and when it is woken, until ctx is done.
func every(pause time.Duration, wake <-chan struct{}, look func()) func(context.Context) {
	return func(ctx context.Context) {
		tick := time.NewTicker(pause)
		defer tick.Stop()
		for {
			look()
			select {
			case <-tick.C:
			case <-wake:
			case <-ctx.Done():
				return
			}
		}
	}
}

// alarm wakes one who may not be waiting: it is heard later then.
type alarm chan struct{}

func newAlarm() alarm { return make(alarm, 1) }

func (a alarm) ring() {
	select {
	case a <- struct{}{}:
	default:
	}
}

// reloader takes certificate files over when they have changed. Its methods may
// be called by several goroutines at once.
type reloader struct {
	credentials *certs.Credentials
	blame       func(error) error // names the flag of a bad file
	changed     func()            // called after other certificates were taken over
	log         *zap.Logger
	table       *live.Table // is told too; may be nil
	last        lastReload

	mu       sync.Mutex
	watch    *certs.Watch
	failures int    // in a row
	told     string // the last failure that was logged
	expiry   time.Time
}

func newReloader(c *certs.Credentials, blame func(error) error, changed func(), log *zap.Logger) *reloader {
	return &reloader{credentials: c, blame: blame, changed: changed, log: log, watch: certs.NewWatch(c.Files().Paths()...)}
}

// look takes changed files over. Files of one pair may be replaced one after
// the other, so that a failure is told when it lasts.
func (r *reloader) look() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tellExpiry()
	if !r.watch.Changed() && r.failures == 0 {
		return
	}
	_, _ = r.reload(2) // tells by itself
}

// now takes the files over in any case, tells how it went, and returns what was
// wrong with them.
func (r *reloader) now() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.told = ""
	changed, err := r.reload(1)
	if !changed && err == nil {
		r.log.Info("certificates are the same as before")
	}
	return err
}

// reload reads the files. A failure is told at the tellAt-th in a row.
func (r *reloader) reload(tellAt int) (changed bool, err error) {
	changed, err = r.credentials.Reload()
	if err != nil {
		err = r.blame(err)
		if r.failures++; r.failures >= tellAt {
			r.fail(err)
		}
		return false, err
	}
	r.failures, r.told = 0, ""
	r.last.set(nil)
	if changed {
		identity, _ := r.credentials.Identity() // was checked when it was loaded
		r.log.Info("certificates reloaded", zap.String("identity", identity), zap.Time("not_after", r.credentials.NotAfter()))
		r.table.Event(live.Event{Kind: live.Reloaded, Text: "certificates reloaded"})
		r.changed()
	}
	return changed, nil
}

// fail tells of a failure, once while it stays the same.
func (r *reloader) fail(err error) {
	r.last.set(err)
	why := err.Error()
	if why == r.told {
		return
	}
	r.told = why
	r.log.Warn("certificates not reloaded, keeping the old ones", zap.String("reason", why), zap.Time("not_after", r.credentials.NotAfter()))
	r.table.Event(live.Event{Kind: live.Reloaded, Text: "certificates not reloaded, keeping the old ones", Reason: why, Problem: true})
}

// tellExpiry warns of a certificate that ends soon, whoever was to renew it.
func (r *reloader) tellExpiry() {
	cert := r.credentials.Certificate()
	left := time.Until(cert.NotAfter.Round(0))
	if left > cert.NotAfter.Sub(cert.NotBefore)/tellExpiry || time.Since(r.expiry) < tellExpiryEvery {
		return
	}
	r.expiry = time.Now()
	r.log.Error("the certificate ends soon and was not renewed", zap.String("file", r.credentials.Files().Cert),
		zap.Time("not_after", cert.NotAfter), zap.Duration("left", left.Round(time.Second)))
}

// clientRenewal renews a client's certificate over the network.
func clientRenewal(c *certs.Credentials, provider string, wake <-chan struct{}, renewed func(), table *live.Table, log *zap.Logger) *certs.Renewal {
	return &certs.Renewal{
		Current: c.Certificate, Wake: wake,
		Renew: func(ctx context.Context) error { return c.Renew(ctx, dialer(provider)) },
		Report: func(s certs.RenewalStatus) {
			if s.Err != nil {
				log.Warn("certificate not renewed, will try again", zap.String("reason", explainAttempt(s.Err)),
					zap.Time("not_after", s.NotAfter), zap.Time("next_attempt", s.Next))
				table.Event(live.Event{Kind: live.Certificate, Text: "certificate not renewed, will try again", Reason: explainAttempt(s.Err), Problem: true})
				return
			}
			log.Info("certificate renewed", zap.Time("not_after", s.NotAfter), zap.Time("renews", s.Due))
			table.Event(live.Event{Kind: live.Certificate, Text: "certificate renewed"})
			renewed()
		},
	}
}

// caUpkeep renews what the provider's private CA has, root, issuer and the
// provider's own certificate, and makes changed grants count.
type caUpkeep struct {
	ca          *certs.CA
	credentials *certs.Credentials
	reload      *reloader
	passphrase  string // the file's name; empty for none
	log         *zap.Logger
	table       *live.Table // is told too; may be nil
	standing    renewalStanding

	mu      sync.Mutex
	current *time.Time // when the certificate in use is to be renewed
	of      string     // that certificate's serial
	told    string     // the last failure that was logged
	toldAt  time.Time
}

// maintain looks whether anything is due. It waits for others until ctx is done.
func (u *caUpkeep) maintain(ctx context.Context) {
	u.mu.Lock()
	defer u.mu.Unlock()
	due, ca := u.due(), u.ca.With(ctx)
	done, err := ca.Maintain(nil, due)
	if errors.Is(err, certs.ErrSealed) && u.passphrase != "" {
		var secret []byte
		if secret, err = readPassphrase(u.passphrase); err == nil {
			var more certs.Maintenance
			more, err = ca.Maintain(secret, due)
			done = certs.Maintenance{Root: more.Root, Issuer: more.Issuer, Provider: done.Provider || more.Provider}
		}
	}
	if ctx.Err() != nil {
		return // the service ends, and has nobody to tell
	}
	u.tell(done, err)
	if done.Provider {
		_ = u.reload.now() // tells by itself
	}
	u.standing.set(u.due(), err)
}

// due is when the certificate in use is to be renewed: drawn once for each.
func (u *caUpkeep) due() time.Time {
	cert := u.credentials.Certificate()
	if serial := cert.SerialNumber.String(); u.current == nil || u.of != serial {
		at := certs.RenewalTime(cert)
		u.current, u.of = &at, serial
	}
	return *u.current
}

func (u *caUpkeep) tell(done certs.Maintenance, err error) {
	if done.Root {
		u.log.Info("made a new root: clients get it with their next renewal, and both are good until the old one ends")
	}
	if done.Issuer {
		u.log.Info("renewed the CA's issuer")
	}
	if done.Provider {
		u.log.Info("renewed the provider's certificate")
		u.table.Event(live.Event{Kind: live.Certificate, Text: "renewed the provider's certificate"})
	}
	if err == nil {
		u.told = ""
		return
	}
	if why := err.Error(); why != u.told || time.Since(u.toldAt) > tellExpiryEvery {
		u.told, u.toldAt = why, time.Now()
		u.log.Error("certificates of the CA not renewed, will try again", zap.String("reason", why), zap.Time("not_after", u.credentials.NotAfter()))
		u.table.Event(live.Event{Kind: live.Certificate, Text: "certificates of the CA not renewed, will try again", Reason: why, Problem: true})
	}
}

// grantsUpkeep makes changed grants count in running sessions.
type grantsUpkeep struct {
	watch       *certs.Watch
	reauthorize func() error
	log         *zap.Logger
	last        lastReload

	mu     sync.Mutex
	failed bool
	told   string
	toldAt time.Time
}

func (u *grantsUpkeep) look() {
	u.mu.Lock()
	defer u.mu.Unlock()
	if !u.watch.Changed() && !u.failed {
		return
	}
	_ = u.applyLocked() // tells by itself
}

// apply makes them count now, and returns why they could not all be read.
func (u *grantsUpkeep) apply() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.applyLocked()
}

func (u *grantsUpkeep) applyLocked() error {
	err := u.reauthorize()
	u.failed = err != nil
	u.last.set(err)
	if err == nil {
		u.told = ""
		return nil
	}
	if why := err.Error(); why != u.told || time.Since(u.toldAt) >= tellGrantsEvery {
		u.told, u.toldAt = why, time.Now()
		u.log.Error("grants could not be read for all sessions, will try again; a session that cannot be judged for 3s ends", zap.Error(err))
	}
	return fmt.Errorf("grants could not be read for all sessions: %w", err)
}
