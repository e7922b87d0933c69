package certs

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// admits asks as a provider does for a session with a certificate.
func admits(ca *CA, cert *x509.Certificate) ([]string, error) {
	_, links, err := ca.Admit(tls.ConnectionState{PeerCertificates: []*x509.Certificate{cert}})
	return links, err
}

func certOf(t testing.TB, f Files) *x509.Certificate {
	t.Helper()
	chain, err := readCertificates(f.Cert)
	if err != nil {
		t.Fatal(err)
	}
	return chain[0]
}

func TestGrantsGrowAndShrink(t *testing.T) {
	ca := newCA(t, InitOptions{})
	cert := certOf(t, clientOf(t, ca, "web", "redis"))
	for _, step := range []struct {
		what string
		do   func() ([]string, error)
		want []string
		err  error
	}{
		{"add", func() ([]string, error) { return ca.AddLinks("web", []string{"mq", "db", "mq"}) }, []string{"db", "mq", "redis"}, nil},
		{"add again", func() ([]string, error) { return ca.AddLinks("web", []string{"mq"}) }, []string{"db", "mq", "redis"}, nil},
		{"withdraw", func() ([]string, error) { return ca.WithdrawLinks("web", []string{"redis", "db"}) }, []string{"mq"}, nil},
		{"withdraw what is not there", func() ([]string, error) { return ca.WithdrawLinks("web", []string{"mq", "redis"}) }, []string{"mq"}, ErrNotGranted},
		{"withdraw the last", func() ([]string, error) { return ca.WithdrawLinks("web", []string{"mq"}) }, []string{}, nil},
		{"add all", func() ([]string, error) { return ca.AddLinks("web", []string{"*"}) }, []string{"*"}, nil},
		{"withdraw one of all", func() ([]string, error) { return ca.WithdrawLinks("web", []string{"redis"}) }, []string{"*"}, ErrNotGranted},
		{"add one to all", func() ([]string, error) { return ca.AddLinks("web", []string{"redis"}) }, []string{"*", "redis"}, nil},
		{"withdraw all", func() ([]string, error) { return ca.WithdrawLinks("web", []string{"*"}) }, []string{"redis"}, nil},
		{"a bad name", func() ([]string, error) { return ca.AddLinks("web", []string{"a b"}) }, []string{"redis"}, ErrName},
		{"a stranger", func() ([]string, error) { return ca.AddLinks("db", []string{"redis"}) }, []string{"redis"}, ErrUnknownClient},
	} {
		links, err := step.do()
		if !errors.Is(err, step.err) || step.err == nil && !slices.Equal(links, step.want) {
			t.Errorf("%s: %v, %v", step.what, links, err)
		}
		if got, err := admits(ca, cert); err != nil || !slices.Equal(got, step.want) {
			t.Errorf("%s: the client may use %v, %v, want %v", step.what, got, err, step.want)
		}
	}
}

// What a client held when it was revoked is good for nothing, also after it was
// taken back; what it gets then is good.
func TestRevokedClientComesBackOnlyByInvitation(t *testing.T) {
	now := time.Now()
	ca := newCA(t, InitOptions{Now: func() time.Time { return now }})
	first := certOf(t, clientOf(t, ca, "web", "redis"))
	token, _, err := ca.Invite("web", InviteOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := ca.Revoke("web"); err != nil {
		t.Fatal(err)
	}
	_, err = admits(ca, first)
	wantIs(t, err, ErrRevoked)
	if _, ok, _ := ca.Grant("spiffe://ambassador/client/web"); ok {
		t.Error("it has a grant")
	}
	_, _, err = ca.redeem(token.ID, token.secret[:], csrOf(t, testKey(t)))
	wantIs(t, err, ErrInvitation)
	_, _, err = ca.renewFor(first, csrOf(t, testKey(t)))
	wantIs(t, err, ErrRevoked)
	_, err = ca.AddLinks("web", []string{"mq"})
	wantIs(t, err, ErrRevoked)
	if err := ca.Revoke("web"); err != nil {
		t.Error("revoked twice:", err)
	}

	// In the same second, and with the clock an hour back.
	for _, at := range []time.Time{now, now.Add(-time.Hour)} {
		now = at
		token, _, err = ca.Invite("web", InviteOptions{})
		if err != nil {
			t.Fatal(err)
		}
		l, _, err := ca.redeem(token.ID, token.secret[:], csrOf(t, testKey(t)))
		if err != nil {
			t.Fatal(err)
		}
		if links, err := admits(ca, l.cert); err != nil || !slices.Equal(links, []string{"redis"}) {
			t.Errorf("taken back it may use %v, %v", links, err)
		}
		_, err = admits(ca, first)
		wantIs(t, err, ErrRevoked)
	}
}

func TestRevokeOfOneThatHasNotComeYet(t *testing.T) {
	ca := newCA(t, InitOptions{})
	wantIs(t, ca.Revoke("web"), ErrUnknownClient)
	wantIs(t, ca.Revoke("a b"), ErrName)
	token, _, err := ca.Invite("web", InviteOptions{})
	if err != nil {
		t.Fatal(err)
	}
	other, _, err := ca.Invite("db", InviteOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := ca.Revoke("web"); err != nil {
		t.Fatal(err)
	}
	_, _, err = ca.redeem(token.ID, token.secret[:], csrOf(t, testKey(t)))
	wantIs(t, err, ErrInvitation)
	if _, _, err := ca.redeem(other.ID, other.secret[:], csrOf(t, testKey(t))); err != nil {
		t.Error("another's invitation went too:", err)
	}
}

// One bad file among the invitations is nobody's way to stay.
func TestUnreadableInvitationBlocksNothing(t *testing.T) {
	for name, spoil := range map[string]func(path string) error{
		"cut off":    func(path string) error { return os.Truncate(path, 20) },
		"wrong mode": func(path string) error { return os.Chmod(path, 0o644) },
	} {
		t.Run(name, func(t *testing.T) {
			ca := newCA(t, InitOptions{})
			cert := certOf(t, clientOf(t, ca, "web", "redis"))
			bad, mine := invited(t, ca, "db", InviteOptions{}), invited(t, ca, "web", InviteOptions{})
			yetToCome := invited(t, ca, "new", InviteOptions{})
			if err := spoil(ca.invitationFile(bad.ID)); err != nil {
				t.Fatal(err)
			}
			for who, done := range map[string]string{"web": "web is revoked", "new": "the invitations of new are taken back"} {
				err := ca.Revoke(who)
				if err == nil || !strings.Contains(err.Error(), done) || !strings.Contains(err.Error(), bad.ID) {
					t.Errorf("%q, want it to say %q and which file is bad", err, done)
				}
			}
			_, err := admits(ca, cert)
			wantIs(t, err, ErrRevoked)
			for _, token := range []Token{mine, yetToCome} {
				_, _, err = ca.redeem(token.ID, token.secret[:], csrOf(t, testKey(t)))
				wantIs(t, err, ErrInvitation)
			}
			wantIs(t, ca.Revoke("nobody"), ErrUnknownClient)
			token := invited(t, ca, "other", InviteOptions{})
			if _, _, err := ca.redeem(token.ID, token.secret[:], csrOf(t, testKey(t))); err != nil {
				t.Error("a new invitation:", err)
			}
		})
	}
}

// What could not be read when its client was revoked does not bring it back when
// it can be read again.
func TestInvitationFromBeforeARevocation(t *testing.T) {
	ca := newCA(t, InitOptions{})
	clientOf(t, ca, "web", "redis")
	token := invited(t, ca, "web", InviteOptions{})
	if err := os.Chmod(ca.invitationFile(token.ID), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := ca.Revoke("web"); err == nil {
		t.Error("revoked without a word about the invitation")
	}
	if err := os.Chmod(ca.invitationFile(token.ID), 0o600); err != nil {
		t.Fatal(err)
	}
	_, _, err := ca.redeem(token.ID, token.secret[:], csrOf(t, testKey(t)))
	wantIs(t, err, ErrInvitation)
	token = invited(t, ca, "web", InviteOptions{})
	if _, _, err := ca.redeem(token.ID, token.secret[:], csrOf(t, testKey(t))); err != nil {
		t.Error("one from after it:", err)
	}
}

// A state directory that was restored from a backup does not know what was
// issued since.
func TestCertificateThatTheRecordForgot(t *testing.T) {
	now := time.Now()
	ca := newCA(t, InitOptions{Now: func() time.Time { return now }})
	cert := certOf(t, clientOf(t, ca, "web", "redis"))
	id := Identity{"ambassador", RoleClient, "web"}
	r, _, err := ca.record(id)
	if err != nil {
		t.Fatal(err)
	}
	r.Certificates, r.RevokedAt = nil, now.Add(-time.Hour)
	if err := ca.writeRecord(r); err != nil {
		t.Fatal(err)
	}
	if _, err := admits(ca, cert); err != nil {
		t.Error("issued after the last revocation:", err)
	}
	r.RevokedAt = now.Add(time.Hour)
	if err := ca.writeRecord(r); err != nil {
		t.Fatal(err)
	}
	_, err = admits(ca, cert)
	wantIs(t, err, ErrRevoked)
}

func TestStrangersAreNotAdmitted(t *testing.T) {
	ca, other := newCA(t, InitOptions{}), newCA(t, InitOptions{TrustDomain: "example.org"})
	for name, cert := range map[string]*x509.Certificate{
		"a provider":           certOf(t, provider(t, ca)),
		"another trust domain": certOf(t, clientOf(t, other, "web")),
		"without a record":     certOf(t, leafLike(t, ca, "spiffe://ambassador/client/mallory", x509.ExtKeyUsageClientAuth)),
	} {
		if _, err := admits(ca, cert); !errors.Is(err, ErrUnknownClient) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
