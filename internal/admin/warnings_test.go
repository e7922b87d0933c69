package admin_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"ambassador/internal/admin"
	"ambassador/internal/live"
)

func TestWarningsComeWithWhatToDo(t *testing.T) {
	soon, later := time.Now().Add(24*time.Hour), time.Now().Add(20*24*time.Hour)
	past := time.Now().Add(-time.Hour)
	leaf := func(c admin.Certificate) func(*admin.Ambassador) {
		c.Name = "leaf"
		return func(a *admin.Ambassador) {
			withFacts(a, func(f *admin.Facts) { f.Certificates = []admin.Certificate{c} })
		}
	}
	for name, c := range map[string]struct {
		with func(*admin.Ambassador)
		text string // of the only warning; empty for none
		fix  string
	}{
		"nothing":                   {func(*admin.Ambassador) {}, "", ""},
		"certificate-in-time":       {leaf(admin.Certificate{NotAfter: later, Renews: &past}), "", ""},
		"certificate-that-renews":   {leaf(admin.Certificate{NotAfter: soon, Renews: &later}), "", ""},
		"certificate-ends-soon":     {leaf(admin.Certificate{NotAfter: soon, Renews: &past}), "was not renewed", "certs renew"},
		"certificate-of-another-ca": {leaf(admin.Certificate{NotAfter: soon}), "was not renewed", "bring a new one"},
		"certificate-has-expired":   {leaf(admin.Certificate{NotAfter: past}), "has expired", "bring a new one"},
		"certificate-cannot-be":     {leaf(admin.Certificate{NotAfter: later, Renews: &past, Error: "disk full"}), "could not be renewed: disk full", "certs renew"},
		"reload-failed":             {func(a *admin.Ambassador) { withFacts(a, func(f *admin.Facts) { f.ReloadError = "cert.pem: bad" }) }, "cert.pem: bad", "ambassador reload"},
		"what-the-command-warns-of": {func(a *admin.Ambassador) {
			withFacts(a, func(f *admin.Facts) { f.Warnings = []admin.Warning{{Text: "sealed", Fix: "open it"}} })
		}, "sealed", "open it"},
		"session-silent": {func(a *admin.Ambassador) {
			a.Table.OpenSession("web", "", carrier{"10.0.0.1:1", 22 * time.Second}, nil)
		}, "nothing was heard from web at 10.0.0.1:1 for 22s", "network"},
		"session-silent-for-moments": {func(a *admin.Ambassador) {
			a.Table.OpenSession("web", "", carrier{"10.0.0.1:1", 12 * time.Second}, nil)
		}, "", ""},
		"client-refused": {func(a *admin.Ambassador) {
			for range 3 {
				a.Table.Event(live.Event{Kind: live.DoorClosed, Peer: "web", Text: "client refused at the door: it is revoked"})
			}
		}, "web: client refused at the door: it is revoked (3 times lately)", "invite"},
		"client-refused-and-let-in-again": {func(a *admin.Ambassador) {
			a.Table.Event(live.Event{Kind: live.DoorClosed, Peer: "web", At: time.Now().Add(-time.Minute), Text: "client refused at the door: it is revoked"})
			a.Table.OpenSession("web", "", carrier{"10.0.0.1:1", 0}, nil)
		}, "", ""},
		"client-refused-and-let-in-for-a-moment": {func(a *admin.Ambassador) {
			a.Table.Event(live.Event{Kind: live.DoorClosed, Peer: "web", At: time.Now().Add(-time.Minute), Text: "client refused at the door: it is revoked"})
			a.Table.OpenSession("web", "", carrier{"10.0.0.1:1", 0}, nil).End(nil)
		}, "", ""},
		"client-refused-after-its-session": {func(a *admin.Ambassador) {
			a.Table.OpenSession("web", "", carrier{"10.0.0.1:1", 0}, nil).End(nil)
			a.Table.Event(live.Event{Kind: live.DoorClosed, Peer: "web", Text: "client refused at the door: it is revoked"})
		}, "it is revoked", "invite"},
		"client-refused-many-times-is-said-once": {func(a *admin.Ambassador) {
			a.Status(context.Background(), 0) // from here on a rise shows
			for range 12 {
				a.Table.HandshakeRefused(live.RefusedDenied)
			}
			a.Table.Event(live.Event{Kind: live.DoorClosed, Peer: "web", Text: "client refused at the door: it is revoked"})
		}, "it is revoked", "invite"},
		"client-refused-long-ago": {func(a *admin.Ambassador) {
			a.Table.Event(live.Event{Kind: live.DoorClosed, Peer: "web", At: past})
		}, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			a := provider()
			c.with(a)
			warnings := a.Status(context.Background(), 0).Warnings
			switch {
			case c.text == "" && len(warnings) > 0:
				t.Errorf("warns: %+v", warnings)
			case c.text != "" && len(warnings) != 1:
				t.Errorf("%d warnings: %+v", len(warnings), warnings)
			case c.text != "" && (!strings.Contains(warnings[0].Text, c.text) || !strings.Contains(warnings[0].Fix, c.fix)):
				t.Errorf("%+v, want %q, %q", warnings[0], c.text, c.fix)
			}
		})
	}
}

func TestHandshakesThatAreRefusedMoreAndMoreAreWarnedOf(t *testing.T) {
	a := provider()
	refuse := func(n int) {
		for range n {
			a.Table.HandshakeRefused("tls")
		}
	}
	refuse(1000) // before anybody looked: it may have taken a year
	if w := a.Status(context.Background(), 0).Warnings; len(w) != 0 {
		t.Errorf("warns at the first look: %+v", w)
	}
	refuse(9)
	if w := a.Status(context.Background(), 0).Warnings; len(w) != 0 {
		t.Errorf("warns of a few: %+v", w)
	}
	refuse(1)
	w := a.Status(context.Background(), 0).Warnings
	if len(w) != 1 || !strings.Contains(w[0].Text, "10 connections") {
		t.Errorf("%+v", w)
	}
}
