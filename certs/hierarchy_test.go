package certs

import (
	"crypto/x509"
	"errors"
	"os"
	"testing"
	"time"
)

// joinsAs does a handshake between a client's files and a provider's.
func handshakes(t *testing.T, client, provider Files) error {
	t.Helper()
	s := shake(t, clientConfig(t, client, "x"), serverConfig(t, provider))
	return errors.Join(s.client, s.provider)
}

// Both roots are good until every peer has the new one.
func TestRootsOverlap(t *testing.T) {
	ca := newCA(t, InitOptions{})
	e := startEnrolling(t, ca)
	old := clientOf(t, ca, "old")
	before := ca.roots[0]
	if err := ca.RenewNow(nil, true); err != nil {
		t.Fatal(err)
	}
	ca, err := Open(ca.Dir(), OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if len(ca.roots) != 2 || ca.roots[0].Equal(before) || !ca.roots[1].Equal(before) || len(ca.issuers) != 2 ||
		ca.issuers[0].CheckSignatureFrom(ca.roots[0]) != nil || ca.issuers[1].CheckSignatureFrom(before) != nil {
		t.Fatalf("%d roots, %d issuers", len(ca.roots), len(ca.issuers))
	}
	p := StateFiles(ca.Dir())
	if err := handshakes(t, old, p); err != nil {
		t.Error("a client that knows the old root alone:", err)
	}
	if changed, err := e.Credentials.Reload(); !changed || err != nil {
		t.Fatal("the provider's files are the same", err)
	}
	c, err := Load(old, RoleClient)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Renew(t.Context(), dialTo(e.address)); err != nil {
		t.Fatal("renewal:", err)
	}
	if m := c.current.Load(); len(m.rootList) != 2 || !m.rootList[0].Equal(ca.roots[0]) {
		t.Errorf("after its renewal the client trusts %d roots", len(m.rootList))
	}
	// Then the old root ends.
	fresh := clientOf(t, ca, "fresh")
	for _, f := range []Files{p, old, fresh} {
		if err := replaceFile(f.CA, encodeCertificates(ca.roots[0]), certMode); err != nil {
			t.Fatal(err)
		}
	}
	for _, f := range []Files{old, fresh} {
		if err := handshakes(t, f, p); err != nil {
			t.Error("without the old root:", err)
		}
	}
	if again, err := ca.EnsureProvider(); !again || err != nil {
		t.Errorf("the provider's certificate was not made for both roots again: %v, %v", again, err)
	}
	token := invited(t, ca, "web", InviteOptions{})
	if _, err := Join(t.Context(), dialTo(e.address), token, t.TempDir()+"/client"); err != nil {
		t.Error("joining under the new root:", err)
	}
}

// Twelve years of a CA that is left alone: at no time is anything expired, and
// every chain verifies.
func TestCALivesOn(t *testing.T) {
	now := time.Now()
	ca := newCA(t, InitOptions{Now: func() time.Time { return now }})
	provider(t, ca)
	first := ca.roots[0]
	var roots, issuers, leaves int
	for day := range 12 * 365 {
		if day%5 != 0 {
			continue
		}
		now = first.NotBefore.Add(backdate).AddDate(0, 0, day)
		l := readAll(t, StateFiles(ca.Dir()))
		done, err := ca.Maintain(nil, partOfLife(l.cert, 0.7))
		if err != nil {
			t.Fatalf("day %d: %v", day, err)
		}
		for _, c := range []struct {
			done bool
			n    *int
		}{{done.Root, &roots}, {done.Issuer, &issuers}, {done.Provider, &leaves}} {
			if c.done {
				*c.n++
			}
		}
		l = readAll(t, StateFiles(ca.Dir()))
		if err := l.verify(now, x509.ExtKeyUsageServerAuth); err != nil {
			t.Fatalf("day %d: %v", day, err)
		}
		if left := l.cert.NotAfter.Sub(now); left < leafLife/5 {
			t.Fatalf("day %d: the leaf has %v left", day, left)
		}
		// A client that was issued its certificate at the last moment before a
		// change verifies the provider to its own end.
		current := &CA{dir: ca.dir, now: ca.now}
		if err := current.load(); err != nil {
			t.Fatalf("day %d: %v", day, err)
		}
		for _, root := range current.roots {
			if root.NotAfter.Before(now.Add(leafLife)) {
				continue
			}
			l.roots = []*x509.Certificate{root}
			if err := l.verify(now, x509.ExtKeyUsageServerAuth); err != nil {
				t.Fatalf("day %d: by root of %v: %v", day, root.NotBefore, err)
			}
		}
	}
	if roots != 1 || issuers < 12 || issuers > 20 || leaves < 150 {
		t.Errorf("in twelve years %d roots, %d issuers and %d leaves were made", roots, issuers, leaves)
	}
}

func TestSealedRootIsMissedLongBeforeTheEnd(t *testing.T) {
	now := time.Now()
	ca := newCA(t, InitOptions{Passphrase: []byte("open sesame"), cost: cheap, Now: func() time.Time { return now }})
	provider(t, ca)
	never := now.Add(rootLife)
	if _, err := ca.Maintain(nil, never); err != nil {
		t.Fatal("at first:", err)
	}
	now = now.Add(issuerLife - issuerRenewal + time.Hour)
	due := now // the provider's own is renewed in any case
	done, err := ca.Maintain(nil, due)
	wantIs(t, err, ErrSealed)
	if !done.Provider || done.Issuer {
		t.Errorf("did %+v", done)
	}
	if done, err = ca.Maintain([]byte("open sesame"), never); err != nil || !done.Issuer {
		t.Errorf("with the passphrase: %+v, %v", done, err)
	}
	if _, err = ca.Maintain(nil, never); err != nil {
		t.Error("afterwards:", err)
	}
	wantIs(t, ca.RenewNow(nil, true), ErrSealed)
	wantIs(t, ca.RenewNow([]byte("open barley"), true), ErrPassphrase)
	if err := ca.RenewNow([]byte("open sesame"), true); err != nil {
		t.Fatal(err)
	}
	// The new root's key is sealed as the old one was.
	data, err := os.ReadFile(ca.path(rootKey))
	if err != nil || string(data[:len("-----BEGIN "+sealedType)]) != "-----BEGIN "+sealedType {
		t.Errorf("%.40q, %v", data, err)
	}
	if _, err := os.Stat(ca.path(nextRootKey)); !os.IsNotExist(err) {
		t.Error("the new root's key is still waiting")
	}
}
