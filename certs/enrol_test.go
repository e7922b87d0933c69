package certs

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// enrolling is a provider that speaks the enrolment protocol on loopback.
type enrolling struct {
	*Enroller
	address string

	mu    sync.Mutex
	given []Enrolment
	errs  []error
}

func startEnrolling(t testing.TB, ca *CA) *enrolling {
	t.Helper()
	c, err := Load(provider(t, ca), RoleProvider)
	if err != nil {
		t.Fatal(err)
	}
	e := &enrolling{Enroller: &Enroller{CA: ca, Credentials: c}}
	e.Report = func(given Enrolment) {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.given = append(e.given, given)
	}
	e.address = listenTLS(t, e.TLSConfig(), func(conn *tls.Conn) {
		if err := e.Serve(t.Context(), conn); err != nil {
			e.mu.Lock()
			defer e.mu.Unlock()
			e.errs = append(e.errs, err)
		}
	})
	return e
}

// listenTLS serves each connection whose handshake went well, until the test
// ends.
func listenTLS(t testing.TB, config *tls.Config, serve func(*tls.Conn)) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			running.Go(func() {
				defer c.Close()
				_ = c.SetDeadline(time.Now().Add(20 * time.Second))
				conn := tls.Server(c, config)
				if conn.Handshake() == nil {
					serve(conn)
					_ = conn.CloseWrite()
				}
				_, _ = io.Copy(io.Discard, c) // until the client has read the last word
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		running.Wait()
	})
	return l.Addr().String()
}

// waitErrors waits for what the provider's log is told: an answer is read before
// Serve has returned.
func (e *enrolling) waitErrors(t *testing.T, n int) []error {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		e.mu.Lock()
		errs := slices.Clone(e.errs)
		e.mu.Unlock()
		if len(errs) >= n {
			return errs
		}
		if time.Now().After(end) {
			t.Fatalf("the provider's log has %v only", errs)
		}
	}
}

func dialTo(address string) DialFunc {
	return func(ctx context.Context) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "tcp", address)
	}
}

func invited(t testing.TB, ca *CA, name string, o InviteOptions) Token {
	t.Helper()
	token, _, err := ca.Invite(name, o)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func TestClientJoinsWithATokenAndNothingElse(t *testing.T) {
	ca := newCA(t, InitOptions{})
	e := startEnrolling(t, ca)
	dir := filepath.Join(t.TempDir(), "a", "client")
	token := invited(t, ca, "web", InviteOptions{Links: []string{"redis"}})
	got, err := Join(t.Context(), dialTo(e.address), token, dir)
	if err != nil {
		t.Fatal(err)
	}
	if got.Identity != "spiffe://ambassador/client/web" || !slices.Equal(got.Links, []string{"redis"}) || got.Before {
		t.Errorf("joined as %+v", got)
	}
	s := shake(t, clientConfig(t, StateFiles(dir), "x"), serverConfig(t, StateFiles(ca.Dir())))
	if err := errors.Join(s.client, s.provider); err != nil {
		t.Fatal(err)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.given) != 1 || e.given[0].Invitation != token.ID || e.given[0].Identity != got.Identity {
		t.Errorf("reported %+v", e.given)
	}
	for file, want := range map[string]os.FileMode{"": dirMode, "key.pem": keyMode, "cert.pem": certMode, "ca.pem": certMode, joinedFile: keyMode} {
		if m := mode(t, filepath.Join(dir, file)); m != want {
			t.Errorf("%q has mode %o", file, m)
		}
	}
}

// Several processes that start on one directory join once, and all can go on.
func TestManyJoinInOneDirectory(t *testing.T) {
	ca := newCA(t, InitOptions{})
	e := startEnrolling(t, ca)
	token := invited(t, ca, "web", InviteOptions{})
	dir := filepath.Join(t.TempDir(), "client")
	var joining sync.WaitGroup
	for range 8 {
		joining.Go(func() {
			if _, err := Join(t.Context(), dialTo(e.address), token, dir); err != nil {
				t.Error(err)
				return
			}
			c, err := Load(StateFiles(dir), RoleClient)
			if err != nil {
				t.Error(err)
				return
			}
			// And renew at once, as after a long sleep.
			if err := c.Renew(t.Context(), dialTo(e.address)); err != nil {
				t.Error("renewal:", err)
			}
			if _, err := Load(StateFiles(dir), RoleClient); err != nil {
				t.Error(err)
			}
		})
	}
	joining.Wait()
	joins := 0
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, given := range e.given {
		if given.Invitation != "" {
			joins++
		}
	}
	if joins != 1 {
		t.Errorf("joined %d times", joins)
	}
	if err := handshakes(t, StateFiles(dir), StateFiles(ca.Dir())); err != nil {
		t.Error(err)
	}
}

func TestTokenThatWasUsedAsksNobody(t *testing.T) {
	ca := newCA(t, InitOptions{})
	e := startEnrolling(t, ca)
	dir := filepath.Join(t.TempDir(), "client")
	token := invited(t, ca, "web", InviteOptions{})
	got, err := Join(t.Context(), dialTo(e.address), token, dir)
	if err != nil {
		t.Fatal(err)
	}
	nobody := func(context.Context) (net.Conn, error) { return nil, errors.New("somebody was asked") }
	again, err := Join(t.Context(), nobody, token, dir)
	if err != nil || !again.Before || again.Identity != got.Identity {
		t.Errorf("again: %+v, %v", again, err)
	}
	// With another one it is used: a client that was revoked gets in again.
	before := certOf(t, StateFiles(dir))
	if _, err := Join(t.Context(), dialTo(e.address), invited(t, ca, "web", InviteOptions{}), dir); err != nil {
		t.Fatal(err)
	}
	if certOf(t, StateFiles(dir)).Equal(before) {
		t.Error("another token brought nothing")
	}
}

func TestHundredRedemptionsOfOneToken(t *testing.T) {
	ca := newCA(t, InitOptions{})
	e := startEnrolling(t, ca)
	token := invited(t, ca, "web", InviteOptions{})
	var joining sync.WaitGroup
	var joined, refused, busy atomic.Int64
	start := make(chan struct{})
	for range 100 {
		dir := filepath.Join(t.TempDir(), "client")
		joining.Go(func() {
			<-start
			for {
				_, err := Join(t.Context(), dialTo(e.address), token, dir)
				switch {
				case err == nil:
					joined.Add(1)
				case errors.Is(err, ErrInvitation):
					refused.Add(1)
				case errors.Is(err, ErrBusy):
					busy.Add(1)
					time.Sleep(100 * time.Millisecond) // what a client does with it
					continue
				default:
					t.Error(err)
				}
				return
			}
		})
	}
	close(start)
	// All come from one address, whose pace would keep them for most of a minute.
	go func() {
		for joined.Load()+refused.Load() < 100 && t.Context().Err() == nil {
			e.pace.mu.Lock()
			clear(e.pace.askers)
			e.pace.mu.Unlock()
			time.Sleep(50 * time.Millisecond)
		}
	}()
	joining.Wait()
	if joined.Load() != 1 || refused.Load() != 99 {
		t.Errorf("%d joined and %d were refused, want 1 and 99", joined.Load(), refused.Load())
	}
	r, _, err := ca.record(Identity{"ambassador", RoleClient, "web"})
	if err != nil || len(r.Certificates) != 1 || len(e.given) != 1 {
		t.Errorf("%d certificates, %d reported, %v", len(r.Certificates), len(e.given), err)
	}
	t.Logf("%d times told to wait", busy.Load())
}

// loseAnswer cuts a connection when the provider's answer is due: when the given
// number of bytes has come. It counts what the client sent.
type loseAnswer struct {
	net.Conn
	left int
}

func (c *loseAnswer) Read(p []byte) (int, error) {
	if c.left <= 0 {
		c.Close()
		return 0, io.ErrUnexpectedEOF
	}
	n, err := c.Conn.Read(p[:min(len(p), c.left)])
	c.left -= n
	return n, err
}

func TestLostAnswerIsNoDisaster(t *testing.T) {
	ca := newCA(t, InitOptions{})
	e := startEnrolling(t, ca)
	token := invited(t, ca, "web", InviteOptions{})
	dir := filepath.Join(t.TempDir(), "client")
	// The whole flight of the provider's handshake is more than 1.5 KB, and it
	// comes before the client asks; cut at ever later bytes until it succeeds.
	attempts := 0
	for cut := 1000; ; cut += 100 {
		attempts++
		_, err := Join(t.Context(), func(ctx context.Context) (net.Conn, error) {
			c, err := dialTo(e.address)(ctx)
			return &loseAnswer{c, cut}, err
		}, token, dir)
		if err == nil {
			break
		}
		if errors.Is(err, ErrInvitation) || cut > 20_000 {
			t.Fatalf("cut after %d bytes: %v", cut, err)
		}
		e.pace.mu.Lock()
		clear(e.pace.askers)
		e.pace.mu.Unlock()
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	serials := map[string]bool{}
	for _, given := range e.given {
		serials[given.Serial] = true
	}
	if len(e.given) < 2 || len(serials) != 1 {
		t.Errorf("%d answers in %d attempts with %d certificates, want several with one", len(e.given), attempts, len(serials))
	}
	r, _, err := ca.record(Identity{"ambassador", RoleClient, "web"})
	if err != nil || len(r.Certificates) != 1 {
		t.Errorf("recorded %v, %v", r.Certificates, err)
	}
}

// capture keeps all that a client sends, under TLS and in the clear.
type capture struct {
	mu   sync.Mutex
	sent bytes.Buffer // on the wire
	read bytes.Buffer // what a man in the middle could decrypt
}

func (c *capture) conn(conn net.Conn) net.Conn { return &capturedConn{conn, c} }

type capturedConn struct {
	net.Conn
	to *capture
}

func (c *capturedConn) Write(p []byte) (int, error) {
	c.to.mu.Lock()
	c.to.sent.Write(p)
	c.to.mu.Unlock()
	return c.Conn.Write(p)
}

// manInTheMiddle stands where the provider should be. It takes whatever client
// comes, and keeps all that is said to it.
func manInTheMiddle(t *testing.T, config *tls.Config, c *capture) (address string) {
	config = config.Clone()
	config.ClientAuth = tls.NoClientCert
	config.GetConfigForClient, config.VerifyConnection = nil, nil
	if config.NextProtos == nil {
		config.NextProtos = []string{EnrolProtocol}
	}
	return listenTLS(t, config, func(conn *tls.Conn) {
		buf := make([]byte, 4096)
		for {
			n, err := conn.Read(buf)
			c.mu.Lock()
			c.read.Write(buf[:n])
			c.mu.Unlock()
			if err != nil {
				return
			}
		}
	})
}

// presenting is a config with one chain and nothing checked.
func presenting(t *testing.T, l *leaf, more ...*x509.Certificate) *tls.Config {
	t.Helper()
	cert := l.tls()
	cert.Certificate = append(cert.Certificate, rawOf(more)...)
	return &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}
}

func readAll(t *testing.T, f Files) *leaf {
	t.Helper()
	l, err := readLeaf(f)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// Whoever answers in the provider's place, if it is not the provider, learns
// nothing: neither the secret nor the id nor the request gets out.
func TestManInTheMiddleNeverReceivesTheSecret(t *testing.T) {
	ca, other := newCA(t, InitOptions{}), newCA(t, InitOptions{})
	root := ca.roots[0]
	mallory := readAll(t, clientOf(t, ca, "mallory"))
	for _, tc := range []struct {
		name   string
		config func() *tls.Config
	}{
		{"another CA", func() *tls.Config {
			l := readAll(t, provider(t, other))
			return presenting(t, l, other.roots...)
		}},
		{"the pinned root behind a foreign leaf", func() *tls.Config {
			l := readAll(t, provider(t, other))
			return presenting(t, l, root)
		}},
		{"the pinned root and issuer behind a foreign leaf", func() *tls.Config {
			l := readAll(t, provider(t, other))
			return presenting(t, l, append(slices.Clone(ca.issuers), root)...)
		}},
		{"a client of the CA as a server", func() *tls.Config { return presenting(t, mallory, root) }},
		{"a client's name with a provider's usage", func() *tls.Config {
			return presenting(t, readAll(t, leafLike(t, ca, "spiffe://ambassador/client/x", x509.ExtKeyUsageServerAuth)), root)
		}},
		{"a provider's name with a client's usage", func() *tls.Config {
			return presenting(t, readAll(t, leafLike(t, ca, "spiffe://ambassador/provider/x", x509.ExtKeyUsageClientAuth)), root)
		}},
		{"another trust domain", func() *tls.Config {
			return presenting(t, readAll(t, leafLike(t, ca, "spiffe://sub.ambassador/provider/x", x509.ExtKeyUsageServerAuth)), root)
		}},
		{"an expired provider", func() *tls.Config {
			return presenting(t, readAll(t, providerAt(t, ca, time.Now().Add(-leafLife-time.Hour))), root)
		}},
		{"no root", func() *tls.Config { return presenting(t, readAll(t, provider(t, ca))) }},
		{"the provider without ALPN", func() *tls.Config {
			c := presenting(t, readAll(t, provider(t, ca)), root)
			c.NextProtos = []string{}
			return c
		}},
		{"the provider with the sessions' ALPN", func() *tls.Config {
			c := presenting(t, readAll(t, provider(t, ca)), root)
			c.NextProtos = []string{"ambassador/1"}
			return c
		}},
		{"the provider with TLS 1.2", func() *tls.Config {
			c := presenting(t, readAll(t, provider(t, ca)), root)
			c.MaxVersion = tls.VersionTLS12
			return c
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			token := invited(t, ca, "web", InviteOptions{})
			c := &capture{}
			address := manInTheMiddle(t, tc.config(), c)
			dir := filepath.Join(t.TempDir(), "client")
			_, err := Join(t.Context(), func(ctx context.Context) (net.Conn, error) {
				conn, err := dialTo(address)(ctx)
				return c.conn(conn), err
			}, token, dir)
			if err == nil {
				t.Fatal("joined")
			}
			c.mu.Lock()
			defer c.mu.Unlock()
			if c.read.Len() > 0 {
				t.Errorf("it could read %q", c.read.Bytes())
			}
			request, err := os.ReadFile(StateFiles(dir).nextKey())
			if err != nil || len(request) == 0 {
				t.Error("no key was made: nothing was tested")
			}
			for what, secret := range map[string][]byte{
				"secret": token.secret[:], "secret in JSON": []byte(base64.StdEncoding.EncodeToString(token.secret[:])), "id": []byte(token.ID),
			} {
				if bytes.Contains(c.sent.Bytes(), secret) {
					t.Errorf("the %s was sent in the clear", what)
				}
			}
			// A hello and at most an alert: what was sent has no room for a request.
			if records := tlsRecords(c.sent.Bytes()); len(records) == 0 || slices.Contains(records[1:], 22) && tc.name != "the provider with TLS 1.2" {
				t.Errorf("records sent: %v", records)
			}
			if all, err := ca.Invitations(); err != nil || slices.ContainsFunc(all, func(i Invitation) bool { return i.ID == token.ID && i.Used > 0 }) {
				t.Errorf("the token was used: %v", err)
			}
		})
	}
	// The capture sees a secret where there is one.
	t.Run("control", func(t *testing.T) {
		token := invited(t, ca, "web", InviteOptions{})
		c := &capture{}
		address := manInTheMiddle(t, presenting(t, readAll(t, provider(t, ca)), root), c)
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		_, err := Join(ctx, dialTo(address), token, filepath.Join(t.TempDir(), "client"))
		if err == nil {
			t.Fatal("joined")
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		if !bytes.Contains(c.read.Bytes(), []byte(base64.StdEncoding.EncodeToString(token.secret[:]))) {
			t.Errorf("the provider itself could read %q only", c.read.Bytes())
		}
	})
}

// tlsRecords are the types of the records in a capture (RFC 8446 §5.1).
func tlsRecords(b []byte) (types []byte) {
	for len(b) >= 5 {
		types = append(types, b[0])
		b = b[min(len(b), 5+int(b[3])<<8+int(b[4])):]
	}
	return types
}

func TestWithoutAnInvitationTheProtocolIsRefused(t *testing.T) {
	ca := newCA(t, InitOptions{})
	e := startEnrolling(t, ca)
	gone := invited(t, ca, "web", InviteOptions{})
	if err := ca.RevokeInvitation(gone.ID); err != nil {
		t.Fatal(err)
	}
	_, err := Join(t.Context(), dialTo(e.address), gone, filepath.Join(t.TempDir(), "client"))
	wantIs(t, err, ErrInvitation)
	if alert, ok := alertOf(err); !ok || alert != alertCertificateRequired {
		t.Errorf("refused with %v, not in the handshake", err)
	}
	if got := Explain(err); !strings.HasPrefix(got, "the provider refuses the token: it was used, has expired or was taken back") {
		t.Errorf("explained as %q", got)
	}
	// Renewal has no need of one.
	c, err := Load(clientOf(t, ca, "web"), RoleClient)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Renew(t.Context(), dialTo(e.address)); err != nil {
		t.Error("renewal:", err)
	}
}

func TestRefusalsTellAStrangerNothing(t *testing.T) {
	ca := newCA(t, InitOptions{})
	e := startEnrolling(t, ca)
	used := invited(t, ca, "web", InviteOptions{})
	if _, err := Join(t.Context(), dialTo(e.address), used, filepath.Join(t.TempDir(), "client")); err != nil {
		t.Fatal(err)
	}
	wrong := invited(t, ca, "db", InviteOptions{})
	wrong.secret[3] ^= 1
	unknown := newToken(ca.roots[0])
	for name, token := range map[string]Token{"used": used, "wrong secret": wrong, "unknown": unknown} {
		_, err := Join(t.Context(), dialTo(e.address), token, filepath.Join(t.TempDir(), "client"))
		if err == nil || err.Error() != ErrInvitation.Error() {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, err := range e.waitErrors(t, 3) {
		wantIs(t, err, ErrInvitation)
		if len(err.Error()) < len(ErrInvitation.Error())+10 {
			t.Errorf("the provider's log is told %q only", err)
		}
	}
}

// ask sends bytes as a request and reads the answer.
func ask(t *testing.T, e *enrolling, ca *CA, request []byte) enrolAnswer {
	t.Helper()
	c, err := dialTo(e.address)(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	conn := tls.Client(c, &tls.Config{RootCAs: poolOf(ca.roots), InsecureSkipVerify: true, NextProtos: []string{EnrolProtocol}})
	go conn.Write(request)
	var a enrolAnswer
	if err := readMessage(conn, maxEnrolAnswer, &a); err != nil && !errors.Is(err, io.EOF) {
		t.Logf("answer: %v", err)
	}
	return a
}

func TestMessagesAreBounded(t *testing.T) {
	ca := newCA(t, InitOptions{})
	e := startEnrolling(t, ca)
	token := invited(t, ca, "web", InviteOptions{})
	huge, err := json.Marshal(enrolRequest{Invitation: token.ID, Secret: token.secret[:], Request: make([]byte, 2*maxEnrolRequest)})
	if err != nil {
		t.Fatal(err)
	}
	for name, request := range map[string][]byte{
		"too long": huge, "garbage": []byte("GET / HTTP/1.1\r\n\r\n"), "a list": []byte("[]\n"), "nothing": []byte("{}\n"),
	} {
		if a := ask(t, e, ca, request); len(a.Chain) > 0 {
			t.Errorf("%s was given a certificate", name)
		}
	}
	if all, err := ca.Invitations(); err != nil || all[0].Used != 0 {
		t.Errorf("%v, %v", all, err)
	}
}

func TestStrangersAreHeldToAPace(t *testing.T) {
	ca := newCA(t, InitOptions{})
	e := startEnrolling(t, ca)
	token := invited(t, ca, "web", InviteOptions{})
	guess := token
	guess.secret[0] ^= 1
	var refused, busy int
	for range enrolBurst + 10 {
		_, err := Join(t.Context(), dialTo(e.address), guess, filepath.Join(t.TempDir(), "client"))
		switch {
		case errors.Is(err, ErrBusy):
			busy++
		case errors.Is(err, ErrInvitation):
			refused++
		default:
			t.Fatal(err)
		}
	}
	if refused < enrolBurst || busy == 0 {
		t.Errorf("%d refused, %d told to wait", refused, busy)
	}
	// A known client's renewal has a pace of its own.
	c, err := Load(clientOf(t, ca, "db"), RoleClient)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Renew(t.Context(), dialTo(e.address)); err != nil {
		t.Error("renewal:", err)
	}
}

func TestPacerForgets(t *testing.T) {
	var p pacer
	for i := range maxAskers + 100 {
		p.allow(net.IPv4(10, byte(i>>16), byte(i>>8), byte(i)).String())
	}
	if n := len(p.askers); n > maxAskers {
		t.Errorf("%d are remembered", n)
	}
	for addr, want := range map[string]string{
		"192.0.2.1:99": "192.0.2.1", "[::ffff:192.0.2.1]:99": "192.0.2.1", "[2001:db8:1:2:3::4]:5": "2001:db8:1:2::/64", "[fe80::1%eth0]:5": "fe80::/64", "pipe": "pipe",
	} {
		if got := host(addr); got != want {
			t.Errorf("%s is %s, want %s", addr, got, want)
		}
	}
}

func TestDirectoriesThatAreNotJoined(t *testing.T) {
	ca, other := newCA(t, InitOptions{}), newCA(t, InitOptions{})
	e := startEnrolling(t, ca)
	for name, dir := range map[string]string{
		"a provider's":           provider(t, other).Dir,
		"a client of another CA": clientOf(t, other, "web").Dir,
	} {
		token := invited(t, ca, "web", InviteOptions{})
		_, err := Join(t.Context(), dialTo(e.address), token, dir)
		if !errors.Is(err, ErrOtherIdentity) {
			t.Errorf("%s: %v", name, err)
		}
		if all, _ := ca.Invitations(); slices.ContainsFunc(all, func(i Invitation) bool { return i.ID == token.ID && i.Used > 0 }) {
			t.Errorf("%s: the token was used", name)
		}
	}
	loose := t.TempDir()
	if err := errors.Join(os.WriteFile(filepath.Join(loose, "x"), nil, keyMode), os.Chmod(loose, 0o755)); err != nil {
		t.Fatal(err)
	}
	_, err := Join(t.Context(), dialTo(e.address), invited(t, ca, "web", InviteOptions{}), loose)
	wantIs(t, err, ErrMode)
}
