package certs

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
)

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
