package certs

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// To look at a CA renews nothing and removes nothing, however due it is.
func TestLookChangesNothing(t *testing.T) {
	began := time.Now()
	now := began
	ca := newCA(t, InitOptions{Now: func() time.Time { return now }})
	if _, err := ca.Issue("web", []string{"redis"}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := ca.Invite("db", InviteOptions{}); err != nil {
		t.Fatal(err)
	}
	s, err := Look(ca.Dir(), ca.now)
	if err != nil || s.NeedsRoot || s.Sealed || s.Problem != nil || len(s.Clients) != 1 || len(s.Invitations) != 1 || s.Invitations[0].Name() != "db" {
		t.Fatalf("%+v, %v", s, err)
	}
	if d := s.LastIssued().Sub(began); d < -time.Second || d > time.Second {
		t.Errorf("the last certificate was made %v after the CA", d)
	}
	now = began.AddDate(0, 0, 300)
	before := snapshot(t, ca.Dir())
	s, err = Look(ca.Dir(), ca.now)
	if err != nil || !s.NeedsRoot || len(s.Invitations) != 0 {
		t.Errorf("%+v, %v: the issuer is due, and the invitation over", s, err)
	}
	if after := snapshot(t, ca.Dir()); after != before {
		t.Errorf("before:\n%s\nafter:\n%s", before, after)
	}
}

func snapshot(t *testing.T, dir string) (all string) {
	t.Helper()
	err := filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
		if err == nil {
			all += path + " " + info.ModTime().String() + "\n"
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestLookAtASealedRoot(t *testing.T) {
	ca := newCA(t, InitOptions{Passphrase: []byte("open sesame"), cost: cheap})
	if s, err := Look(ca.Dir(), nil); err != nil || !s.Sealed {
		t.Errorf("%+v, %v", s, err)
	}
}

func TestLookWhereThereIsNothingToSee(t *testing.T) {
	_, err := Look(t.TempDir(), nil)
	wantIs(t, err, ErrNoCA)
	ca := newCA(t, InitOptions{})
	if err := os.Chmod(ca.path(issuerKey), 0o644); err != nil {
		t.Fatal(err)
	}
	_, err = Look(ca.Dir(), nil)
	wantIs(t, err, ErrMode)
}

func TestLocked(t *testing.T) {
	ca := newCA(t, InitOptions{})
	if path, held, err := Locked(ca.Dir()); held || err != nil || path != filepath.Join(ca.Dir(), lockName) {
		t.Errorf("%s, %v, %v", path, held, err)
	}
	err := ca.locked(func(*CA) error {
		if _, held, err := Locked(ca.Dir()); !held || err != nil {
			t.Errorf("%v, %v while it is held", held, err)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	if _, held, err := Locked(t.TempDir()); held || err != nil {
		t.Errorf("%v, %v without a lock", held, err)
	}
}
