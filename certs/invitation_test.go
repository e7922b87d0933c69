package certs

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

func testKey(t testing.TB) crypto.Signer {
	t.Helper()
	key, err := newKey()
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func csrOf(t testing.TB, key crypto.Signer) *x509.CertificateRequest {
	t.Helper()
	der, err := newRequest(key)
	if err != nil {
		t.Fatal(err)
	}
	csr, err := parseRequest(der)
	if err != nil {
		t.Fatal(err)
	}
	return csr
}

func TestInvitationIsGoodOnceAndForItsKey(t *testing.T) {
	now := time.Now()
	ca := newCA(t, InitOptions{Now: func() time.Time { return now }})
	token, made, err := ca.Invite("web", InviteOptions{Links: []string{"redis", "mq", "mq"}})
	if err != nil {
		t.Fatal(err)
	}
	if made.Name() != "web" || !slices.Equal(made.Links, []string{"mq", "redis"}) || made.Uses != 1 || made.Expires.Sub(made.Created) != 15*time.Minute {
		t.Errorf("invited %+v", made)
	}
	key := csrOf(t, testKey(t))
	l, r, err := ca.redeem(token.ID, token.secret[:], key)
	if err != nil {
		t.Fatal(err)
	}
	if id, _ := l.identity(); id.String() != "spiffe://ambassador/client/web" || !slices.Equal(r.Links, []string{"mq", "redis"}) {
		t.Errorf("given %v with %v", id, r.Links)
	}
	again, _, err := ca.redeem(token.ID, token.secret[:], key)
	if err != nil || !again.cert.Equal(l.cert) {
		t.Errorf("the same key: %v", err)
	}
	_, _, err = ca.redeem(token.ID, token.secret[:], csrOf(t, testKey(t)))
	wantIs(t, err, ErrInvitation)
	wrong := token.secret
	wrong[0] ^= 1
	_, _, err = ca.redeem(token.ID, wrong[:], key)
	wantIs(t, err, ErrInvitation)
	for _, id := range []string{"", "aaaaaaaa", "../clients/web", "AAAAAAAA"} {
		_, _, err = ca.redeem(id, token.secret[:], key)
		wantIs(t, err, ErrInvitation)
	}
	if r, _, err := ca.record(Identity{"ambassador", RoleClient, "web"}); err != nil || len(r.Certificates) != 1 {
		t.Errorf("recorded %v, %v", r.Certificates, err)
	}
	now = now.Add(15*time.Minute + time.Second)
	_, _, err = ca.redeem(token.ID, token.secret[:], key)
	wantIs(t, err, ErrInvitation)
}

// A use stands on disk before the certificate is made: where that fails, the
// token is gone for everybody but the key that came first.
func TestTokenIsBurntBeforeTheCertificateIsMade(t *testing.T) {
	now := time.Now()
	ca := newCA(t, InitOptions{Passphrase: []byte("open sesame"), cost: cheap, Now: func() time.Time { return now }})
	now = now.Add(issuerLife - 5*time.Minute)
	token := invited(t, ca, "web", InviteOptions{})
	now = now.Add(10 * time.Minute) // the issuer has ended, and its root is sealed
	key := csrOf(t, testKey(t))
	_, _, err := ca.redeem(token.ID, token.secret[:], key)
	wantIs(t, err, ErrExpired)
	if all, err := ca.Invitations(); err != nil || len(all) != 1 || all[0].Used != 1 {
		t.Errorf("%+v, %v: want it used", all, err)
	}
	_, _, err = ca.redeem(token.ID, token.secret[:], csrOf(t, testKey(t)))
	wantIs(t, err, ErrInvitation)
	if _, err := ca.Maintain([]byte("open sesame"), now.Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if _, _, err := ca.redeem(token.ID, token.secret[:], key); err != nil {
		t.Error("the key that came first:", err)
	}
}

func TestInvitationForSeveralHosts(t *testing.T) {
	ca := newCA(t, InitOptions{})
	token, _, err := ca.Invite("web", InviteOptions{Uses: 3})
	if err != nil {
		t.Fatal(err)
	}
	serials := map[string]bool{}
	for range 3 {
		l, _, err := ca.redeem(token.ID, token.secret[:], csrOf(t, testKey(t)))
		if err != nil {
			t.Fatal(err)
		}
		serials[serialNumber(l.cert)] = true
	}
	_, _, err = ca.redeem(token.ID, token.secret[:], csrOf(t, testKey(t)))
	wantIs(t, err, ErrInvitation)
	if all, err := ca.Invitations(); err != nil || len(all) != 1 || all[0].Used != 3 || len(serials) != 3 {
		t.Errorf("%+v, %v, %d certificates", all, err, len(serials))
	}
}

// An invitation says what its client may use when the first host comes. What is
// granted and withdrawn by hand meanwhile is not undone by a host that comes later.
func TestInvitationDoesNotUndoChangesByHand(t *testing.T) {
	grant := func(t *testing.T, ca *CA, want ...string) {
		t.Helper()
		if links, ok, err := ca.Grant("spiffe://ambassador/client/web"); err != nil || !ok || !slices.Equal(links, want) {
			t.Errorf("the client may use %v (%v, %v), want %v", links, ok, err, want)
		}
	}
	come := func(t *testing.T, ca *CA, token Token, key *x509.CertificateRequest, want ...string) {
		t.Helper()
		_, r, err := ca.redeem(token.ID, token.secret[:], key)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(r.Links, want) {
			t.Errorf("a host is told %v, want %v", r.Links, want)
		}
		grant(t, ca, want...)
	}
	change := func(t *testing.T, ca *CA) {
		t.Helper()
		_, errWithdrawn := ca.WithdrawLinks("web", []string{"mq"})
		_, errAdded := ca.AddLinks("web", []string{"db"})
		if err := errors.Join(errWithdrawn, errAdded); err != nil {
			t.Fatal(err)
		}
	}
	options := InviteOptions{Links: []string{"redis", "mq"}, Uses: 3}
	t.Run("after the first host", func(t *testing.T) {
		ca := newCA(t, InitOptions{})
		token, first := invited(t, ca, "web", options), csrOf(t, testKey(t))
		come(t, ca, token, first, "mq", "redis")
		change(t, ca)
		come(t, ca, token, csrOf(t, testKey(t)), "db", "redis")
		come(t, ca, token, first, "db", "redis") // whose answer was lost
	})
	t.Run("before the first host", func(t *testing.T) {
		ca := newCA(t, InitOptions{})
		clientOf(t, ca, "web", "mq", "redis")
		token := invited(t, ca, "web", options)
		change(t, ca)
		come(t, ca, token, csrOf(t, testKey(t)), "db", "redis")
		come(t, ca, token, csrOf(t, testKey(t)), "db", "redis")
	})
	t.Run("issued by hand", func(t *testing.T) {
		ca := newCA(t, InitOptions{})
		token := invited(t, ca, "web", options)
		clientOf(t, ca, "web", "db")
		come(t, ca, token, csrOf(t, testKey(t)), "db")
	})
	t.Run("another invitation", func(t *testing.T) {
		ca := newCA(t, InitOptions{})
		token, other := invited(t, ca, "web", options), invited(t, ca, "web", InviteOptions{Links: []string{"db"}})
		come(t, ca, token, csrOf(t, testKey(t)), "mq", "redis")
		come(t, ca, other, csrOf(t, testKey(t)), "db")
		come(t, ca, token, csrOf(t, testKey(t)), "db")
	})
	// And one that is made after the change says what the client may use.
	t.Run("invited after the change", func(t *testing.T) {
		ca := newCA(t, InitOptions{})
		clientOf(t, ca, "web", "mq")
		change(t, ca)
		come(t, ca, invited(t, ca, "web", options), csrOf(t, testKey(t)), "mq", "redis")
	})
}

func TestInvitationsAreListedAndTakenBack(t *testing.T) {
	now := time.Now()
	ca := newCA(t, InitOptions{Now: func() time.Time { return now }})
	if all, err := ca.Invitations(); len(all) != 0 || err != nil || ca.invites() {
		t.Errorf("%v, %v", all, err)
	}
	long, _, err := ca.Invite("web", InviteOptions{Life: 2 * time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	short, _, err := ca.Invite("db", InviteOptions{Life: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	all, err := ca.Invitations()
	if err != nil || len(all) != 2 || all[0].ID != short.ID || all[1].ID != long.ID || !ca.invites() {
		t.Errorf("%v, %v", all, err)
	}
	now = now.Add(time.Hour)
	if all, err = ca.Invitations(); err != nil || len(all) != 1 || all[0].ID != long.ID {
		t.Errorf("one has expired: %v, %v", all, err)
	}
	if _, err := os.Stat(ca.invitationFile(short.ID)); !os.IsNotExist(err) {
		t.Error("what has expired is still there")
	}
	if err := ca.RevokeInvitation(long.ID); err != nil {
		t.Fatal(err)
	}
	wantIs(t, ca.RevokeInvitation(long.ID), ErrNoInvitation)
	wantIs(t, ca.RevokeInvitation("../ca"), ErrName)
	_, _, err = ca.redeem(long.ID, long.secret[:], csrOf(t, testKey(t)))
	wantIs(t, err, ErrInvitation)
	if ca.invites() {
		t.Error("still inviting")
	}
}

func TestInvitationsOutOfBounds(t *testing.T) {
	ca := newCA(t, InitOptions{})
	for _, o := range []InviteOptions{{Life: -1}, {Life: time.Millisecond}, {Life: 8 * 24 * time.Hour}, {Uses: -1}, {Uses: 1001}} {
		_, _, err := ca.Invite("web", o)
		wantIs(t, err, ErrBounds)
		if errors.Is(err, ErrName) {
			t.Errorf("%v: is about no name", err)
		}
	}
	_, _, err := ca.Invite("web", InviteOptions{Links: []string{"a b"}})
	wantIs(t, err, ErrName)
	_, _, err = ca.Invite("../web", InviteOptions{})
	wantIs(t, err, ErrName)
}

// Nothing under the state directory holds a token's secret in any spelling.
func TestSecretIsNotKept(t *testing.T) {
	ca := newCA(t, InitOptions{})
	token, _, err := ca.Invite("web", InviteOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := ca.redeem(token.ID, token.secret[:], csrOf(t, testKey(t))); err != nil {
		t.Fatal(err)
	}
	spellings := [][]byte{token.secret[:], []byte(hex.EncodeToString(token.secret[:])), []byte(token.Text()[60:90])}
	err = filepath.WalkDir(ca.Dir(), func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		for _, s := range spellings {
			if bytes.Contains(data, s) {
				t.Errorf("%s holds the secret", path)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if m := mode(t, ca.invitationFile(token.ID)); m != keyMode {
		t.Errorf("mode %o", m)
	}
	if m := mode(t, filepath.Dir(ca.invitationFile(token.ID))); m != dirMode {
		t.Errorf("mode %o", m)
	}
}

// Whatever a request says of names, usages and CAs, the certificate says what the
// provider decided.
func TestNamesInTheRequestAreIgnored(t *testing.T) {
	ca := newCA(t, InitOptions{})
	token, _, err := ca.Invite("web", InviteOptions{})
	if err != nil {
		t.Fatal(err)
	}
	uri, err := url.Parse("spiffe://ambassador/provider/mallory")
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{
		Subject: pkix.Name{CommonName: "mallory"}, DNSNames: []string{"big-server"}, URIs: []*url.URL{uri},
		ExtraExtensions: []pkix.Extension{{Id: []int{2, 5, 29, 19}, Critical: true, Value: []byte{0x30, 3, 1, 1, 0xff}}}, // CA:TRUE
	}, testKey(t))
	if err != nil {
		t.Fatal(err)
	}
	csr, err := parseRequest(der)
	if err != nil {
		t.Fatal(err)
	}
	l, _, err := ca.redeem(token.ID, token.secret[:], csr)
	if err != nil {
		t.Fatal(err)
	}
	c := l.cert
	if c.IsCA || len(c.DNSNames) != 0 || len(c.URIs) != 1 || c.URIs[0].String() != "spiffe://ambassador/client/web" ||
		c.Subject.String() != "" || !slices.Equal(c.ExtKeyUsage, []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}) {
		t.Errorf("given CA %v, %v %v %q %v", c.IsCA, c.DNSNames, c.URIs, c.Subject, c.ExtKeyUsage)
	}
}

func TestRequestsThatAreRefused(t *testing.T) {
	request := func(key crypto.Signer) []byte {
		der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
	weak, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	forged := request(testKey(t))
	forged[len(forged)-1] ^= 1
	for name, der := range map[string][]byte{
		"nothing": nil, "garbage": []byte("garbage"), "RSA": request(weak), "P-384": request(p384), "a forged signature": forged,
		"another's key": swapKey(t, request(testKey(t)), request(testKey(t))),
	} {
		if _, err := parseRequest(der); err == nil {
			t.Errorf("%s is taken", name)
		} else {
			wantIs(t, err, ErrRequest)
		}
	}
	for name, key := range map[string]crypto.Signer{"P-256": testKey(t), "Ed25519": ed} {
		if _, err := parseRequest(request(key)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// swapKey puts the public key of one request into another.
func swapKey(t *testing.T, into, from []byte) []byte {
	t.Helper()
	a, err := x509.ParseCertificateRequest(into)
	if err != nil {
		t.Fatal(err)
	}
	b, err := x509.ParseCertificateRequest(from)
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Replace(into, a.RawSubjectPublicKeyInfo, b.RawSubjectPublicKeyInfo, 1)
}

func FuzzParseInvitation(f *testing.F) {
	f.Add([]byte(`{"identity":"spiffe://ambassador/client/web","links":[],"uses":1,"secret_hash":"","redemptions":null}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		i, err := parseInvitation(data)
		if err == nil && (i.public("x").Name() == "" || i.Uses < 1 || len(i.Redemptions) > i.Uses) {
			t.Errorf("%q is taken", data)
		}
	})
}

func FuzzParseRequest(f *testing.F) {
	key, err := newKey()
	if err != nil {
		f.Fatal(err)
	}
	der, err := newRequest(key)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(der)
	f.Fuzz(func(t *testing.T, der []byte) {
		if csr, err := parseRequest(der); err == nil && csr.CheckSignature() != nil {
			t.Error("taken with a signature that is not its own")
		}
	})
}
