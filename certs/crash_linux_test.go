package certs

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// What changes files is run in a process of its own, which is killed before the
// first system call that could change something, then before the second, and so
// on until it lives to its end. After each death the files have to hold the old
// state or the new, and the same work has to succeed on them.

// crashJobs are what the child does, by the value of CERTS_CRASH_JOB. Its files
// are in the directory CERTS_CRASH_DIR: the provider's state in p, a client's in
// c, and what else it needs.
var crashJobs = map[string]func(dir string) error{
	"init": func(dir string) error {
		ca, _, err := Ensure(dir+"/p", InitOptions{Provider: "big-server"})
		if err != nil {
			return err
		}
		_, err = ca.EnsureProvider()
		return err
	},
	"invite": onCA(func(ca *CA, dir string) error {
		_, _, err := ca.Invite("web", InviteOptions{})
		return err
	}),
	"redeem": onCA(func(ca *CA, dir string) error {
		token, err := tokenIn(dir)
		if err != nil {
			return err
		}
		key, err := pendingKey(StateFiles(dir + "/c"))
		if err != nil {
			return err
		}
		der, err := newRequest(key)
		if err != nil {
			return err
		}
		csr, err := parseRequest(der)
		if err != nil {
			return err
		}
		_, _, err = ca.redeem(token.ID, token.secret[:], csr)
		return err
	}),
	"grant":  onCA(func(ca *CA, dir string) error { _, err := ca.AddLinks("web", []string{"mq"}); return err }),
	"issue":  onCA(func(ca *CA, dir string) error { _, err := ca.IssueTo("web", nil, dir+"/c"); return err }),
	"revoke": onCA(func(ca *CA, dir string) error { return ca.Revoke("web") }),
	"root":   onCA(func(ca *CA, dir string) error { return ca.RenewNow(nil, true) }),
	"join": func(dir string) error {
		token, err := tokenIn(dir)
		if err != nil {
			return err
		}
		_, err = Join(context.Background(), dialTo(os.Getenv("CERTS_CRASH_ADDRESS")), token, dir+"/c")
		return err
	},
	"renew": func(dir string) error {
		c, err := Load(StateFiles(dir+"/c"), RoleClient)
		if err != nil {
			return err
		}
		return c.Renew(context.Background(), dialTo(os.Getenv("CERTS_CRASH_ADDRESS")))
	},
}

func onCA(do func(*CA, string) error) func(string) error {
	return func(dir string) error {
		ca, err := Open(dir+"/p", OpenOptions{})
		if err != nil {
			return err
		}
		return do(ca, dir)
	}
}

func tokenIn(dir string) (Token, error) {
	text, err := os.ReadFile(dir + "/token")
	if err != nil {
		return Token{}, err
	}
	return ParseToken(string(text))
}

// crashChild does a job if this process is such a child.
func crashChild() (is bool) {
	job := os.Getenv("CERTS_CRASH_JOB")
	if job == "" {
		return false
	}
	if err := crashJobs[job](os.Getenv("CERTS_CRASH_DIR")); err != nil {
		fmt.Fprintln(os.Stderr, job, err)
		os.Exit(1)
	}
	os.Exit(0)
	return true
}

// crashScene is a fresh set of files for one death.
type crashScene struct {
	dir     string
	ca      *CA
	e       *enrolling // nil if the job needs no provider
	client  Files
	token   Token
	address string
}

// TestCrashAtAnyWrite kills each job everywhere.
func TestCrashAtAnyWrite(t *testing.T) {
	for _, tc := range []struct {
		job string
		// before makes the files. If nil, there are none.
		before func(t *testing.T, s *crashScene)
		// after checks them: done says that the child had come to its end.
		after func(t *testing.T, s *crashScene, done bool)
		least int // deaths that there must be, or the test has seen nothing
	}{
		{"init", nil, afterInit, 25},
		{"invite", withCA, afterInvite, 5},
		{"redeem", withToken, afterRedeem, 15},
		{"grant", withClient, afterGrant, 5},
		{"issue", withClient, afterIssue, 15},
		{"revoke", withClient, afterRevoke, 6},
		{"root", withClient, afterRoot, 30},
		{"join", withProvider, afterJoin, 20},
		{"renew", withProvider, afterRenew, 20},
	} {
		t.Run(tc.job, func(t *testing.T) {
			deaths := 0
			for n := 1; ; n++ {
				s := &crashScene{dir: t.TempDir()}
				if tc.before != nil {
					tc.before(t, s)
				}
				err := onOneThread(func() error { return crashAt(t, tc.job, s.dir, s.address, n) })
				if err != nil && err != errKilled {
					t.Fatalf("death %d: %v", n, err)
				}
				tc.after(t, s, err == nil)
				if t.Failed() {
					t.Fatalf("after death %d", n)
				}
				if err == nil {
					break
				}
				deaths++
			}
			if deaths < tc.least {
				t.Errorf("died %d times only", deaths)
			}
			t.Logf("%d deaths", deaths)
		})
	}
}

func onOneThread(do func() error) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	return do()
}

func withCA(t *testing.T, s *crashScene) {
	ca, err := Init(s.dir+"/p", InitOptions{Provider: "big-server"})
	if err != nil {
		t.Fatal(err)
	}
	provider(t, ca)
	s.ca = ca
}

func withToken(t *testing.T, s *crashScene) {
	withCA(t, s)
	s.token = invited(t, s.ca, "web", InviteOptions{Links: []string{"redis"}})
	if err := errors.Join(os.WriteFile(s.dir+"/token", []byte(s.token.Text()), keyMode), os.Mkdir(s.dir+"/c", dirMode)); err != nil {
		t.Fatal(err)
	}
}

func withClient(t *testing.T, s *crashScene) {
	withCA(t, s)
	if _, err := s.ca.IssueTo("web", []string{"redis"}, s.dir+"/c"); err != nil {
		t.Fatal(err)
	}
	s.client = StateFiles(s.dir + "/c")
	s.token = invited(t, s.ca, "web", InviteOptions{})
}

func withProvider(t *testing.T, s *crashScene) {
	withToken(t, s)
	if strings.Contains(t.Name(), "/renew") {
		if _, err := s.ca.IssueTo("db", []string{"redis"}, s.dir+"/c"); err != nil {
			t.Fatal(err)
		}
	}
	s.client = StateFiles(s.dir + "/c")
	s.e = startEnrolling(t, s.ca)
	s.address = s.e.address
}

// works checks that the CA of the scene is whole, and its provider.
func (s *crashScene) works(t *testing.T) *CA {
	t.Helper()
	ca, _, err := Ensure(s.dir+"/p", InitOptions{Provider: "big-server"})
	if err != nil {
		t.Fatal("CA:", err)
	}
	f := provider(t, ca)
	if _, err := Load(f, RoleProvider); err != nil {
		t.Fatal("provider:", err)
	}
	if _, err := ca.Clients(); err != nil {
		t.Error("records:", err)
	}
	if _, err := ca.Invitations(); err != nil {
		t.Error("invitations:", err)
	}
	// The work that follows leaves nothing unfinished behind.
	if _, err := ca.Maintain(nil, time.Now().Add(time.Hour)); err != nil {
		t.Error("maintenance:", err)
	}
	return ca
}

func afterInit(t *testing.T, s *crashScene, done bool) {
	ca := s.works(t)
	if _, err := ca.IssueTo("web", nil, s.dir+"/c"); err != nil {
		t.Error(err)
	}
	noLeftovers(t, s.dir+"/p")
}

func afterInvite(t *testing.T, s *crashScene, done bool) {
	ca := s.works(t)
	all, err := ca.Invitations()
	if err != nil || len(all) > 1 || done && len(all) != 1 {
		t.Errorf("%v, %v", all, err)
	}
	invited(t, ca, "db", InviteOptions{})
	noLeftovers(t, s.dir+"/p")
}

func afterRedeem(t *testing.T, s *crashScene, done bool) {
	ca := s.works(t)
	// The same key is served, and then no other.
	if err := crashJobs["redeem"](s.dir); err != nil {
		t.Error("again with the same key:", err)
	}
	_, _, err := ca.redeem(s.token.ID, s.token.secret[:], csrOf(t, testKey(t)))
	wantIs(t, err, ErrInvitation)
	s.oneCertificate(t, ca, "web")
	noLeftovers(t, s.dir+"/p")
}

func (s *crashScene) oneCertificate(t *testing.T, ca *CA, name string) {
	t.Helper()
	r, ok, err := ca.record(Identity{"ambassador", RoleClient, name})
	if err != nil || !ok || len(r.Certificates) != 1 || !slices.Equal(r.Links, []string{"redis"}) {
		t.Errorf("recorded %+v, %v", r, err)
	}
}

func afterGrant(t *testing.T, s *crashScene, done bool) {
	ca := s.works(t)
	links, _, err := ca.Grant("spiffe://ambassador/client/web")
	if got := strings.Join(links, " "); err != nil || got != "redis" && got != "mq redis" || done && got != "mq redis" {
		t.Errorf("%v, %v", links, err)
	}
	if links, err := ca.AddLinks("web", []string{"mq"}); err != nil || !slices.Equal(links, []string{"mq", "redis"}) {
		t.Errorf("again: %v, %v", links, err)
	}
	noLeftovers(t, s.dir+"/p")
}

func afterIssue(t *testing.T, s *crashScene, done bool) {
	ca := s.works(t)
	for range 2 {
		c, err := Load(s.client, RoleClient)
		if err != nil {
			t.Fatal("its files:", err)
		}
		if links, err := admits(ca, c.Certificate()); err != nil || !slices.Equal(links, []string{"redis"}) {
			t.Errorf("%v, %v", links, err)
		}
		if err := handshakes(t, s.client, StateFiles(ca.Dir())); err != nil {
			t.Error(err)
		}
		if _, err := ca.IssueTo("web", nil, s.client.Dir); err != nil {
			t.Error("again:", err)
		}
	}
	noLeftovers(t, s.client.Dir)
	noLeftovers(t, s.dir+"/p")
}

func afterRevoke(t *testing.T, s *crashScene, done bool) {
	ca := s.works(t)
	cert := certOf(t, s.client)
	_, err := admits(ca, cert)
	if err != nil || done {
		wantIs(t, err, ErrRevoked)
		// It has no way back by then, whether its invitation is gone yet or not.
		_, _, err := ca.redeem(s.token.ID, s.token.secret[:], csrOf(t, testKey(t)))
		wantIs(t, err, ErrInvitation)
	}
	if all, err := ca.Invitations(); done && (err != nil || len(all) > 0) {
		t.Errorf("%v, %v", all, err)
	}
	if err := ca.Revoke("web"); err != nil {
		t.Error("again:", err)
	}
	_, err = admits(ca, cert)
	wantIs(t, err, ErrRevoked)
	noLeftovers(t, s.dir+"/p")
}

func afterRoot(t *testing.T, s *crashScene, done bool) {
	// As it is after the death, and once more after the work that follows.
	f := StateFiles(s.dir + "/p")
	for range 2 {
		if err := handshakes(t, s.client, f); err != nil {
			t.Error("a client of before:", err)
		}
		s.works(t)
	}
	ca := s.works(t)
	if n := len(ca.roots); n > 2 || done && n != 2 {
		t.Errorf("%d roots", n)
	}
	if err := ca.RenewNow(nil, true); err != nil {
		t.Error("again:", err)
	}
	ca = s.works(t)
	if err := errors.Join(handshakes(t, s.client, f), handshakes(t, clientOf(t, ca, "fresh"), f)); err != nil {
		t.Error(err)
	}
	noLeftovers(t, s.dir+"/p")
}

func afterJoin(t *testing.T, s *crashScene, done bool) {
	if _, err := Load(s.client, RoleClient); err != nil && (done || !errors.Is(err, ErrNoCertificate)) {
		t.Error("its files:", err)
	}
	if _, err := Join(t.Context(), dialTo(s.address), s.token, s.client.Dir); err != nil {
		t.Error("again:", err)
	}
	if err := handshakes(t, s.client, StateFiles(s.ca.Dir())); err != nil {
		t.Error(err)
	}
	s.oneCertificate(t, s.works(t), "web")
	noLeftovers(t, s.client.Dir)
}

func afterRenew(t *testing.T, s *crashScene, done bool) {
	c, err := Load(s.client, RoleClient)
	if err != nil {
		t.Fatal("its files:", err)
	}
	ca := s.works(t)
	if links, err := admits(ca, c.Certificate()); err != nil || !slices.Equal(links, []string{"redis"}) {
		t.Errorf("what it has now: %v, %v", links, err)
	}
	if err := handshakes(t, s.client, StateFiles(s.ca.Dir())); err != nil {
		t.Error(err)
	}
	before := c.Certificate()
	if err := c.Renew(t.Context(), dialTo(s.address)); err != nil || c.Certificate().Equal(before) {
		t.Error("again:", err)
	}
	noLeftovers(t, s.client.Dir)
}

// noLeftovers looks for unfinished files, which would pile up.
func noLeftovers(t *testing.T, dir string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && strings.Contains(path, temporary) {
			t.Errorf("%s is left", path)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}
