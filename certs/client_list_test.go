package certs

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"
)

// A list that is read again and again says what Clients says.
func TestClientListFollowsWhatChanges(t *testing.T) {
	ca := newCA(t, InitOptions{})
	list := NewClientList(ca)
	agrees := func(what string) {
		t.Helper()
		want, err := ca.Clients()
		if err != nil {
			t.Fatal(err)
		}
		got, err := list.Read()
		if err != nil || len(got) != len(want) || len(want) > 0 && !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, %v; want %+v", what, got, err, want)
		}
	}
	agrees("nobody")
	clientOf(t, ca, "web", "redis")
	clientOf(t, ca, "db", "mq")
	agrees("two clients")
	// Records that are old enough are not read again, until they change.
	for _, name := range []string{"web", "db"} {
		hourAgo := time.Now().Add(-time.Hour)
		if err := os.Chtimes(filepath.Join(ca.GrantsPath(), name+".json"), hourAgo, hourAgo); err != nil {
			t.Fatal(err)
		}
	}
	agrees("old records")
	agrees("old records again")
	if _, err := ca.AddLinks("web", []string{"mq"}); err != nil {
		t.Fatal(err)
	}
	agrees("one changed")
	// A copy that is put back may be older than what was read.
	path := filepath.Join(ca.GrantsPath(), "web.json")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	text = bytes.Replace(text, []byte(`"mq"`), []byte(`"db"`), 1)
	daysAgo := time.Now().Add(-48 * time.Hour)
	if err := errors.Join(os.WriteFile(path, text, 0o600), os.Chtimes(path, daysAgo, daysAgo)); err != nil {
		t.Fatal(err)
	}
	agrees("one restored")
	if err := ca.Revoke("db"); err != nil {
		t.Fatal(err)
	}
	agrees("one revoked")
	if err := os.Remove(filepath.Join(ca.GrantsPath(), "db.json")); err != nil {
		t.Fatal(err)
	}
	agrees("one gone")
	// One that cannot be read is told of, and does not hide the others.
	if err := os.WriteFile(filepath.Join(ca.GrantsPath(), "bad.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := list.Read(); err == nil || len(got) != 1 || got[0].Name() != "web" {
		t.Errorf("with a bad one: %+v, %v", got, err)
	}
}

func TestAuthoritiesAreWhatACertificateRestsOn(t *testing.T) {
	ca := newCA(t, InitOptions{})
	c, err := Load(clientOf(t, ca, "web"), RoleClient)
	if err != nil {
		t.Fatal(err)
	}
	all := c.Authorities()
	if len(all) != 2 || all[0].Kind != "issuer" || all[1].Kind != "root" {
		t.Fatalf("%+v", all)
	}
	for _, a := range all {
		if !a.Renews.Before(a.NotAfter) || a.Renews.Before(time.Now()) || !a.NotAfter.After(c.NotAfter()) {
			t.Errorf("%+v of a new CA", a)
		}
	}
}
