package certs

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func grant(t *testing.T, ca *CA, identity string) []string {
	t.Helper()
	links, ok, err := ca.Grant(identity)
	if err != nil || ok != (links != nil) {
		t.Fatalf("links %v, %v, %v", links, ok, err)
	}
	return links
}

func TestGrants(t *testing.T) {
	ca := newCA(t, InitOptions{})
	running, err := Open(ca.Dir(), OpenOptions{}) // another process's
	if err != nil {
		t.Fatal(err)
	}
	const web = "spiffe://ambassador/client/web"
	for _, step := range []struct {
		name string
		give []string
		want []string
	}{
		{"a new client may use all", nil, []string{"*"}},
		{"links narrow it", []string{"redis", "mq", "redis"}, []string{"mq", "redis"}},
		{"issuing again does not widen it", nil, []string{"mq", "redis"}},
		{"links replace it", []string{"db"}, []string{"db"}},
		{"a star widens it", []string{"*"}, []string{"*"}},
	} {
		i, err := ca.Issue("web", step.give)
		if err != nil {
			t.Fatal(step.name, err)
		}
		if got := grant(t, running, web); !slices.Equal(got, step.want) || !slices.Equal(i.Links, step.want) {
			t.Errorf("%s: granted %v, issued with %v", step.name, got, i.Links)
		}
	}
	for _, nobody := range []string{
		"spiffe://ambassador/client/db", "spiffe://ambassador/provider/web", "spiffe://example.org/client/web",
		"web", "", "spiffe://ambassador/client/../clients/web",
	} {
		if links := grant(t, running, nobody); links != nil {
			t.Errorf("%q may use %v", nobody, links)
		}
	}
	for _, bad := range [][]string{{""}, {"a b"}, {"../x"}, {"redis,mq"}, slices.Repeat([]string{"x"}, maxLinks+1)} {
		if _, err := ca.Issue("web", bad); err == nil {
			t.Errorf("links %.20q were taken", bad)
		}
	}
	_, err = ca.Issue("../web", nil)
	wantIs(t, err, ErrName)
}

func TestClientsRecords(t *testing.T) {
	ca := newCA(t, InitOptions{})
	if records, err := ca.Clients(); records != nil || err != nil {
		t.Errorf("%v, %v", records, err)
	}
	f := clientOf(t, ca, "web", "redis")
	clientOf(t, ca, "db")
	l, err := readLeaf(f)
	if err != nil {
		t.Fatal(err)
	}
	records, err := ca.Clients()
	if err != nil || len(records) != 2 || records[0].Name() != "db" || records[1].Name() != "web" {
		t.Fatalf("%v, %v", records, err)
	}
	want := IssuedCertificate{Serial: serialNumber(l.cert), NotBefore: l.cert.NotBefore, NotAfter: l.cert.NotAfter, KeyFingerprint: keyFingerprint(l.cert)}
	if got := records[1].Certificates; len(got) != 1 || got[0] != want {
		t.Errorf("recorded %v, want %v", got, want)
	}
	// A bad record does not hide the good ones.
	if err := os.WriteFile(filepath.Join(ca.Dir(), clientsDir, "bad.json"), []byte("{"), keyMode); err != nil {
		t.Fatal(err)
	}
	records, err = ca.Clients()
	wantIs(t, err, ErrMalformed)
	if len(records) != 2 {
		t.Errorf("%v", records)
	}
}

func TestRecordForgetsWhatHasExpired(t *testing.T) {
	now := time.Now()
	ca := newCA(t, InitOptions{Now: at(now)})
	for _, after := range []time.Duration{0, time.Hour, leafLife + time.Minute} {
		ca.now = at(now.Add(after))
		if _, err := ca.Issue("web", nil); err != nil {
			t.Fatal(err)
		}
	}
	records, err := ca.Clients()
	if err != nil || len(records[0].Certificates) != 2 {
		t.Errorf("%v, %v", records, err)
	}
}

// Where file names fold case, the record of Web is that of web.
func TestRecordOfAnotherIsNotTaken(t *testing.T) {
	ca := newCA(t, InitOptions{})
	clientOf(t, ca, "web", "redis")
	dir := filepath.Join(ca.Dir(), clientsDir)
	if err := os.Rename(filepath.Join(dir, "web.json"), filepath.Join(dir, "Web.json")); err != nil {
		t.Fatal(err)
	}
	_, _, err := ca.Grant("spiffe://ambassador/client/Web")
	wantIs(t, err, ErrOtherIdentity)
	_, err = ca.Issue("Web", nil)
	wantIs(t, err, ErrOtherIdentity)
}

func TestRecordsThatAreRefused(t *testing.T) {
	for name, text := range map[string]string{
		"empty":              ``,
		"a list":             `[]`,
		"no identity":        `{}`,
		"a provider":         `{"identity":"spiffe://ambassador/provider/web","links":["*"]}`,
		"bad link":           `{"identity":"spiffe://ambassador/client/web","links":["a b"]}`,
		"a field of later":   `{"identity":"spiffe://ambassador/client/web","links":["*"],"frozen":true}`,
		"two values":         `{"identity":"spiffe://ambassador/client/web","links":["*"]}{}`,
		"links of no string": `{"identity":"spiffe://ambassador/client/web","links":[1]}`,
	} {
		if r, err := parseRecord([]byte(text)); err == nil {
			t.Errorf("%s: taken as %v", name, r)
		}
	}
}

func FuzzRecord(f *testing.F) {
	f.Add([]byte(`{"identity":"spiffe://ambassador/client/web","links":["redis"],"certificates":[{"serial":"01","not_after":"2027-01-01T00:00:00Z","key_fingerprint":"ab"}]}`))
	f.Add([]byte(`{"identity":"spiffe://ambassador/client/..","links":["*"]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := parseRecord(data)
		if err != nil {
			return
		}
		if r.Name() == "" || checkLinks(r.Links) != nil {
			t.Errorf("taken: %v", r)
		}
		out, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := parseRecord(out); err != nil {
			t.Errorf("written again: %v", err)
		}
	})
}

func TestIssueReplacesTheSameIdentityAlone(t *testing.T) {
	ca := newCA(t, InitOptions{})
	f := clientOf(t, ca, "web")
	if err := os.Chmod(f.Cert, certMode); err != nil {
		t.Fatal(err)
	}
	first, err := readLeaf(f)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ca.IssueTo("web", nil, f.Dir); err != nil {
		t.Fatal(err)
	}
	second, err := readLeaf(f)
	if err != nil || first.cert.Equal(second.cert) {
		t.Errorf("not replaced, %v", err)
	}
	junk := filepath.Join(t.TempDir(), "junk")
	if err := errors.Join(os.Mkdir(junk, dirMode), os.WriteFile(filepath.Join(junk, "cert.pem"), []byte("junk"), certMode)); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		ca        *CA
		name, dir string
	}{
		"another client":         {ca, "db", f.Dir},
		"another CA's client":    {newCA(t, InitOptions{}), "web", f.Dir},
		"the CA's own directory": {ca, "new", ca.Dir()},
		"something unreadable":   {ca, "new", junk},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := tc.ca.IssueTo(tc.name, []string{"redis"}, tc.dir)
			wantIs(t, err, ErrOtherIdentity)
			if links, _, _ := tc.ca.Grant("spiffe://ambassador/client/" + tc.name); slices.Contains(links, "redis") {
				t.Error("the refused one changed a grant")
			}
			i, err := tc.ca.Issue(tc.name, nil)
			if err != nil {
				t.Fatal(err)
			}
			wantIs(t, i.WriteTo(tc.dir), ErrOtherIdentity)
		})
	}
	if third, err := readLeaf(f); err != nil || !third.cert.Equal(second.cert) {
		t.Errorf("the refused ones changed the certificate, %v", err)
	}
}

func TestEnsureProvider(t *testing.T) {
	now := time.Now()
	fresh := func(t *testing.T) (*CA, Files) {
		ca := newCA(t, InitOptions{Now: at(now)})
		return ca, provider(t, ca)
	}
	for _, tc := range []struct {
		name   string
		change func(*testing.T, *CA, Files)
		made   bool
	}{
		{"good", func(*testing.T, *CA, Files) {}, false},
		{"before half of its life", func(_ *testing.T, ca *CA, _ Files) { ca.now = at(now.Add(leafLife/2 - time.Hour)) }, false},
		{"past half of its life", func(_ *testing.T, ca *CA, _ Files) { ca.now = at(now.Add(leafLife/2 + time.Hour)) }, true},
		{"expired", func(_ *testing.T, ca *CA, _ Files) { ca.now = at(now.Add(leafLife + time.Hour)) }, true},
		{"no certificate", func(t *testing.T, _ *CA, f Files) { removeFile(t, f.Cert) }, true},
		{"no key", func(t *testing.T, _ *CA, f Files) { removeFile(t, f.Key) }, true},
		{"no root", func(t *testing.T, _ *CA, f Files) { removeFile(t, f.CA) }, true},
		{"a key of another", func(t *testing.T, ca *CA, f Files) { copyFile(t, clientOf(t, ca, "web").Key, f.Key) }, true},
		{"a root of another", func(t *testing.T, _ *CA, f Files) { copyFile(t, newCA(t, InitOptions{}).path(rootCert), f.CA) }, true},
		{"all of another CA", func(t *testing.T, _ *CA, f Files) {
			other := provider(t, newCA(t, InitOptions{}))
			copyFile(t, other.Cert, f.Cert)
			copyFile(t, other.Key, f.Key)
			copyFile(t, other.CA, f.CA)
		}, true},
		{"a pair of another CA", func(t *testing.T, _ *CA, f Files) {
			other := provider(t, newCA(t, InitOptions{}))
			copyFile(t, other.Cert, f.Cert)
			copyFile(t, other.Key, f.Key)
		}, true},
		{"another name", func(_ *testing.T, ca *CA, _ Files) { ca.provider = "renamed" }, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			ca, f := fresh(t)
			tc.change(t, ca, f)
			if made, err := ca.EnsureProvider(); made != tc.made || err != nil {
				t.Errorf("made %v, %v, want %v", made, err, tc.made)
			}
			if _, err := loadMaterial(f, RoleProvider, ca.now()); err != nil {
				t.Error(err)
			}
			if made, err := ca.EnsureProvider(); made || err != nil {
				t.Errorf("again: made %v, %v", made, err)
			}
		})
	}
	t.Run("somebody else's", func(t *testing.T) {
		ca, f := fresh(t)
		client := clientOf(t, ca, "web")
		copyFile(t, client.Cert, f.Cert)
		_, err := ca.EnsureProvider()
		wantIs(t, err, ErrOtherIdentity)
		if !strings.Contains(err.Error(), "spiffe://ambassador/client/web") {
			t.Errorf("%q does not say whose", err)
		}
	})
}

func removeFile(t *testing.T, path string) {
	t.Helper()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
}

// Whatever point of a replacement a crash comes at, the next reader has a pair,
// and the next writer makes order.
func TestReplacementSurvivesACrash(t *testing.T) {
	for _, tc := range []struct {
		name    string
		arrange func(t *testing.T, before, after Files) // makes before what the crash left
		renewed bool
	}{
		{"with the new key waiting", func(t *testing.T, before, after Files) {
			copyFile(t, after.Key, before.nextKey())
		}, false},
		{"with half a file", func(t *testing.T, before, _ Files) {
			if err := os.WriteFile(before.Key+temporary+"1", []byte("half"), keyMode); err != nil {
				t.Fatal(err)
			}
		}, false},
		{"with half a key waiting", func(t *testing.T, before, _ Files) {
			if err := os.WriteFile(before.nextKey(), []byte("half"), keyMode); err != nil {
				t.Fatal(err)
			}
		}, false},
		{"with the new certificate in place", func(t *testing.T, before, after Files) {
			copyFile(t, after.Key, before.nextKey())
			copyFile(t, after.Cert, before.Cert)
		}, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			ca := newCA(t, InitOptions{})
			before, after := clientOf(t, ca, "web"), clientOf(t, ca, "web")
			want, err := readLeaf(before)
			if err != nil {
				t.Fatal(err)
			}
			if tc.renewed {
				if want, err = readLeaf(after); err != nil {
					t.Fatal(err)
				}
			}
			tc.arrange(t, before, after)
			if got, err := readLeaf(before); err != nil || !got.cert.Equal(want.cert) {
				t.Fatalf("after the crash: %v", err)
			}
			if _, err := ca.IssueTo("web", nil, before.Dir); err != nil {
				t.Fatal(err)
			}
			if _, err := readLeaf(before); err != nil {
				t.Error(err)
			}
			if names, err := os.ReadDir(before.Dir); err != nil || len(names) != 3 {
				t.Errorf("the directory holds %v, %v", names, err)
			}
		})
	}
}

// A writer that fails early after a crash must not have taken the key that the
// certificate in place waits for.
func TestWaitingKeyIsSettledFirst(t *testing.T) {
	ca := newCA(t, InitOptions{})
	f, after := clientOf(t, ca, "web"), clientOf(t, ca, "web")
	copyFile(t, after.Key, f.nextKey())
	copyFile(t, after.Cert, f.Cert)
	removeFile(t, f.CA)
	if err := os.MkdirAll(filepath.Join(f.CA, "x"), dirMode); err != nil {
		t.Fatal(err)
	}
	l, err := readLeaf(after)
	if err != nil {
		t.Fatal(err)
	}
	if err := writeLeaf(f, l); err == nil {
		t.Fatal("a directory was replaced by a file")
	}
	if key, err := readKey(f.Key); err != nil || !sameKey(l.cert, key) {
		t.Errorf("the key is not in its place: %v", err)
	}
}

// A reader beside a writer always has a pair.
func TestReadersBesideAWriter(t *testing.T) {
	ca := newCA(t, InitOptions{})
	f := clientOf(t, ca, "web")
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 30 {
			if _, err := ca.IssueTo("web", nil, f.Dir); err != nil {
				t.Error(err)
				return
			}
		}
	}()
	reads := 0
	for running := true; running; reads++ {
		select {
		case <-done:
			running = false
		default:
		}
		if _, err := readLeaf(f); err != nil {
			t.Error(err)
			<-done
			return
		}
	}
	t.Log(reads, "reads")
}
