package certs

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"net"
	"path/filepath"
	"slices"
	"strconv"
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

// forgetPace lets everybody ask again at once.
func (e *enrolling) forgetPace() {
	for _, p := range []*pacer{&e.pace, &e.known} {
		p.mu.Lock()
		clear(p.askers)
		p.mu.Unlock()
	}
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
			e.forgetPace()
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
		e.forgetPace()
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
	for busy == 0 && refused < 50*enrolBurst { // some come back while a slow machine asks
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
	// Who has the secret is not held back by those who guess behind his address.
	if _, err := Join(t.Context(), dialTo(e.address), token, filepath.Join(t.TempDir(), "client")); err != nil {
		t.Error("the one who was invited:", err)
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

// Rubbish costs its sender no more than a reading, and those behind the same
// address nothing: it is not worth a place in the pace.
func TestRubbishKeepsNobodyOut(t *testing.T) {
	ca := newCA(t, InitOptions{})
	e := startEnrolling(t, ca)
	token := invited(t, ca, "web", InviteOptions{})
	for range 2 * enrolBurst {
		_, _, err := e.answer(t.Context(), "127.0.0.1:1", nil, enrolRequest{Invitation: token.ID, Request: []byte("rubbish")})
		wantIs(t, err, ErrRequest)
	}
	guess := token
	guess.secret[0] ^= 1
	_, err := Join(t.Context(), dialTo(e.address), guess, filepath.Join(t.TempDir(), "client"))
	wantIs(t, err, ErrInvitation) // not busy: the address has its pace yet

	// Not all the addresses of the world together take an invitation's pace.
	for i := range maxAskers + 2*enrolBurst {
		e.pace.allow(strconv.Itoa(i))
	}
	if _, err := Join(t.Context(), dialTo(e.address), token, filepath.Join(t.TempDir(), "client")); err != nil {
		t.Error(err)
	}
	// A secret has a pace as well.
	csr, err := newRequest(testKey(t))
	if err != nil {
		t.Fatal(err)
	}
	busy := false
	for range 50 * enrolBurst {
		if _, _, err := e.answer(t.Context(), "127.0.0.1:1", nil, enrolRequest{Invitation: token.ID, Secret: token.secret[:], Request: csr}); errors.Is(err, ErrBusy) {
			busy = true
			break
		}
	}
	if !busy {
		t.Error("who has a secret may ask without an end")
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
