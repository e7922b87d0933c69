package certs

import (
	"context"
	"crypto/x509"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestRenewalIsDueAt50To70PercentOfLife(t *testing.T) {
	now := time.Now()
	cert := &x509.Certificate{NotBefore: now, NotAfter: now.Add(100 * time.Hour)}
	var drawn []time.Duration
	for range 1000 {
		drawn = append(drawn, RenewalTime(cert).Sub(now))
	}
	first, last := slices.Min(drawn), slices.Max(drawn)
	if first < 50*time.Hour || last > 70*time.Hour || first > 52*time.Hour || last < 68*time.Hour {
		t.Errorf("due after %v to %v of 100 hours", first, last)
	}
}

// renewing is a renewal of a certificate that lives 30 days from the bubble's
// beginning.
type renewing struct {
	*Renewal
	cert     atomic.Pointer[x509.Certificate]
	attempts []time.Time
	reports  []RenewalStatus
	fail     error
}

func newRenewing() *renewing {
	r := &renewing{}
	r.cert.Store(certFrom(time.Now()))
	r.Renewal = &Renewal{
		Current: r.cert.Load,
		Renew: func(context.Context) error {
			r.attempts = append(r.attempts, time.Now())
			if r.fail == nil {
				r.cert.Store(certFrom(time.Now()))
				return nil
			}
			again := *r.cert.Load() // as Credentials.Renew reads its files first
			r.cert.Store(&again)
			return r.fail
		},
		Report: func(s RenewalStatus) { r.reports = append(r.reports, s) },
	}
	return r
}

func certFrom(t time.Time) *x509.Certificate {
	return &x509.Certificate{Raw: []byte(t.String()), NotBefore: t, NotAfter: t.Add(leafLife)}
}

func (r *renewing) run(t *testing.T, d time.Duration) {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	r.Run(ctx)
}

func TestRenewalGoesOnByItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRenewing()
		before := time.Now()
		r.run(t, 365*24*time.Hour)
		if n := len(r.attempts); n < 17 || n > 25 { // 365 days in steps of 15 to 21
			t.Errorf("renewed %d times in a year", n)
		}
		for _, at := range r.attempts {
			if d := at.Sub(before); d < leafLife/2 || d > leafLife*7/10+renewalCheck {
				t.Errorf("renewed after %v", d)
			}
			before = at
		}
	})
}

func TestRenewalThatFailsIsToldAndTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRenewing()
		r.fail = errors.New("no provider")
		r.run(t, leafLife)
		if n := len(r.reports); n < 200 || n > 400 { // 9 to 15 days, mostly an hour apart
			t.Fatalf("tried %d times before the end", n)
		}
		first := r.reports[0]
		if first.Err != r.fail || first.NotAfter.Sub(r.attempts[0]) < leafLife*3/10-time.Minute {
			t.Errorf("first told %+v at %v", first, r.attempts[0])
		}
		for i, pause := range []time.Duration{30 * time.Second, time.Minute, 2 * time.Minute, 4 * time.Minute} {
			if got := r.attempts[i+1].Sub(r.attempts[i]); got < pause || got > pause+renewalCheck {
				t.Errorf("attempt %d after %v, want %v", i+1, got, pause)
			}
		}
		if got := r.attempts[100].Sub(r.attempts[99]); got < time.Hour || got > time.Hour+renewalCheck {
			t.Errorf("later attempts are %v apart", got)
		}
		// And when it works again, it is over with the next attempt.
		r.fail, r.attempts = nil, nil
		r.run(t, time.Minute)
		if len(r.attempts) != 1 || r.reports[len(r.reports)-1].Err != nil {
			t.Errorf("%d attempts, last %+v", len(r.attempts), r.reports[len(r.reports)-1])
		}
	})
}

// A machine that sleeps stops timers, not the wall clock.
func TestRenewalAfterALongSleep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRenewing()
		var slept atomic.Int64
		r.Now = func() time.Time { return time.Now().Add(time.Duration(slept.Load())) }
		r.run(t, 10*time.Minute)
		if len(r.attempts) != 0 {
			t.Fatal("renewed too early")
		}
		time.AfterFunc(5*time.Minute, func() { slept.Store(int64(22 * 24 * time.Hour)) })
		began := time.Now()
		r.run(t, 10*time.Minute)
		if len(r.attempts) == 0 {
			t.Fatal("not renewed after it woke")
		}
		if d := r.attempts[0].Sub(began) - 5*time.Minute; d < 0 || d > renewalCheck {
			t.Errorf("renewed %v after it woke", d)
		}
	})
}

// An attempt that failed while the clock was a year ahead does not put off the next
// one by a year.
func TestRenewalAfterTheClockIsSetBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRenewing()
		r.fail = errors.New("the provider finds our certificate expired")
		wrong := time.Now().Add(time.Hour)
		r.Now = func() time.Time {
			now := time.Now()
			if now.Before(wrong) {
				return now.AddDate(1, 0, 0)
			}
			r.fail = nil
			return now
		}
		r.run(t, leafLife)
		if n := len(r.attempts); n < 2 || !r.attempts[0].Before(wrong) {
			t.Fatalf("tried at %v, want some while the clock was ahead and one after it", r.attempts)
		}
		if !r.reports[len(r.reports)-1].NotAfter.After(wrong.Add(leafLife)) {
			t.Error("not renewed within the certificate's life")
		}
	})
}

func TestWokenRenewalLooksAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRenewing()
		wake := make(chan struct{})
		r.Wake = wake
		began := time.Now()
		go func() {
			time.Sleep(7 * time.Second)
			r.cert.Store(certFrom(began.Add(-leafLife * 8 / 10))) // from a file, say
			wake <- struct{}{}
		}()
		r.run(t, 20*time.Second)
		if len(r.attempts) != 1 || r.attempts[0].Sub(began) != 7*time.Second {
			t.Errorf("tried at %v", r.attempts)
		}
	})
}

func TestRenewedCertificateIsInUseAndOnDisk(t *testing.T) {
	ca := newCA(t, InitOptions{})
	e := startEnrolling(t, ca)
	f := clientOf(t, ca, "web", "redis")
	c, err := Load(f, RoleClient)
	if err != nil {
		t.Fatal(err)
	}
	before, key := c.Certificate(), readAll(t, f).key
	if err := c.Renew(t.Context(), dialTo(e.address)); err != nil {
		t.Fatal(err)
	}
	l := readAll(t, f)
	if l.cert.Equal(before) || !c.Certificate().Equal(l.cert) || sameKey(l.cert, key) {
		t.Error("the certificate or its key is the old one")
	}
	if id, _ := l.identity(); id.String() != "spiffe://ambassador/client/web" {
		t.Errorf("renewed as %v", id)
	}
	if links, err := admits(ca, l.cert); err != nil || !slices.Equal(links, []string{"redis"}) {
		t.Errorf("it may use %v, %v", links, err)
	}
	if _, err := admits(ca, before); err != nil {
		t.Error("the one before, which a session still has:", err)
	}
	// Another process that works with the same files takes the new one over.
	other := &Credentials{files: f, role: RoleClient}
	other.current.Store(c.current.Load())
	if err := c.Renew(t.Context(), dialTo(e.address)); err != nil {
		t.Fatal(err)
	}
	nobody := dialTo("127.0.0.1:1")
	if err := other.Renew(t.Context(), nobody); err != nil || !other.Certificate().Equal(c.Certificate()) {
		t.Errorf("another process: %v", err)
	}
	if err := other.Renew(t.Context(), nobody); err == nil || !other.Certificate().Equal(c.Certificate()) {
		t.Errorf("without a provider: %v", err)
	}
}

func TestRenewalsThatAreRefused(t *testing.T) {
	ca := newCA(t, InitOptions{})
	e := startEnrolling(t, ca)
	revoked := clientOf(t, ca, "revoked")
	c, err := Load(revoked, RoleClient)
	if err != nil {
		t.Fatal(err)
	}
	before := c.Certificate()
	if err := ca.Revoke("revoked"); err != nil {
		t.Fatal(err)
	}
	wantIs(t, c.Renew(t.Context(), dialTo(e.address)), ErrRevoked)
	stranger, err := Load(leafLike(t, ca, "spiffe://ambassador/client/stranger", x509.ExtKeyUsageClientAuth), RoleClient)
	if err != nil {
		t.Fatal(err)
	}
	wantIs(t, stranger.Renew(t.Context(), dialTo(e.address)), ErrUnknownClient)
	if !c.Certificate().Equal(before) || !certOf(t, revoked).Equal(before) {
		t.Error("a refused renewal changed the certificate")
	}
	p, err := Load(provider(t, ca), RoleProvider)
	if err != nil {
		t.Fatal(err)
	}
	if p.Renewable() || p.Renew(t.Context(), dialTo(e.address)) == nil {
		t.Error("a provider renews over the network")
	}
}

// A provider of another CA at the same address is not asked.
func TestRenewalWithAnotherProvider(t *testing.T) {
	ca, other := newCA(t, InitOptions{}), newCA(t, InitOptions{})
	e := startEnrolling(t, other)
	c, err := Load(clientOf(t, ca, "web"), RoleClient)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Renew(t.Context(), dialTo(e.address)); err == nil {
		t.Fatal("renewed")
	} else if unknown := (x509.UnknownAuthorityError{}); !errors.As(err, &unknown) {
		t.Error(err)
	}
}
