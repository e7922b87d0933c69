package certs

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// One config is used by many handshakes, and each has the certificates of its
// moment.
func TestReloadChangesNewHandshakes(t *testing.T) {
	ca := newCA(t, InitOptions{})
	p, c := provider(t, ca), clientOf(t, ca, "web")
	serving, err := Load(p, RoleProvider)
	if err != nil {
		t.Fatal(err)
	}
	joined, err := Load(c, RoleClient)
	if err != nil {
		t.Fatal(err)
	}
	server, client := serving.ServerConfig(), joined.ClientConfig("x")
	if changed, err := serving.Reload(); changed || err != nil {
		t.Errorf("the same files: %v, %v", changed, err)
	}
	if s := shake(t, client, server); s.client != nil || s.provider != nil {
		t.Fatal(s.client, s.provider)
	}

	// The provider moves to another CA, and then the client.
	other := newCA(t, InitOptions{})
	for _, f := range [][2]string{{provider(t, other).Cert, p.Cert}, {provider(t, other).Key, p.Key}, {provider(t, other).CA, p.CA}} {
		copyFile(t, f[0], f[1])
	}
	if changed, err := serving.Reload(); !changed || err != nil {
		t.Fatalf("other files: %v, %v", changed, err)
	}
	if s := shake(t, client, server); s.client == nil || s.provider == nil {
		t.Error("a client of the CA before is let in")
	}
	theirs := clientOf(t, other, "web")
	for _, f := range [][2]string{{theirs.Cert, c.Cert}, {theirs.Key, c.Key}, {theirs.CA, c.CA}} {
		copyFile(t, f[0], f[1])
	}
	if changed, err := joined.Reload(); !changed || err != nil {
		t.Fatalf("other files: %v, %v", changed, err)
	}
	if s := shake(t, client, server); s.client != nil || s.provider != nil {
		t.Error(s.client, s.provider)
	}
}

func TestBadFilesKeepTheOldCertificate(t *testing.T) {
	ca := newCA(t, InitOptions{})
	for name, spoil := range map[string]func(Files) error{
		"garbage":           func(f Files) error { return os.WriteFile(f.Cert, []byte("garbage"), certMode) },
		"no key":            func(f Files) error { return os.Remove(f.Key) },
		"a key for all":     func(f Files) error { return os.Chmod(f.Key, 0o644) },
		"half of a pair":    func(f Files) error { return os.Rename(clientOf(t, ca, "web").Key, f.Key) },
		"an expired one":    func(f Files) error { return os.Rename(clientAt(t, ca, -leafLife-time.Hour).Cert, f.Cert) },
		"a CA file of none": func(f Files) error { return os.WriteFile(f.CA, nil, certMode) },
	} {
		t.Run(name, func(t *testing.T) {
			f := clientOf(t, ca, "web")
			c, err := Load(f, RoleClient)
			if err != nil {
				t.Fatal(err)
			}
			before := c.Certificate()
			if err := spoil(f); err != nil {
				t.Fatal(err)
			}
			changed, err := c.Reload()
			if file := (*FileError)(nil); changed || !errors.As(err, &file) {
				t.Errorf("%v, %v", changed, err)
			}
			if !c.Certificate().Equal(before) {
				t.Error("the old certificate is not in use any more")
			}
			if s := shake(t, c.ClientConfig("x"), serverConfig(t, provider(t, ca))); s.client != nil || s.provider != nil {
				t.Error(s.client, s.provider)
			}
		})
	}
}

// clientAt is a client of a CA whose clock was another.
func clientAt(t testing.TB, ca *CA, d time.Duration) Files {
	t.Helper()
	old := ca.now
	defer func() { ca.now = old }()
	ca.now = func() time.Time { return time.Now().Add(d) }
	return clientOf(t, ca, "web")
}

// settled looks until a watch has nothing to tell.
func settled(t *testing.T, w *Watch) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); w.Changed(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("changes without an end")
		}
	}
}

func TestWatchSeesEveryKindOfChange(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "cert.pem")
	old := time.Now().Add(-time.Hour)
	put := func(name, text string) {
		t.Helper()
		if err := errors.Join(os.WriteFile(name, []byte(text), 0o600), os.Chtimes(name, old, old)); err != nil {
			t.Fatal(err)
		}
	}
	put(path, "one")
	// Kubernetes mounts a Secret so: a name leads through ..data to a folder that
	// is swapped as a whole, by a rename over the link.
	mount := filepath.Join(dir, "mount")
	for _, v := range []string{"..v1", "..v2"} {
		if err := os.MkdirAll(filepath.Join(mount, v), 0o700); err != nil {
			t.Fatal(err)
		}
		put(filepath.Join(mount, v, "cert.pem"), v)
	}
	if err := errors.Join(os.Symlink("..v1", filepath.Join(mount, "..data")), os.Symlink("..data/cert.pem", filepath.Join(mount, "cert.pem"))); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name, path string
		change     func() error
	}{
		{"written", path, func() error { return os.WriteFile(path, []byte("two"), 0o600) }},
		{"renamed over, as old and as large", path, func() error {
			put(filepath.Join(dir, "next"), "ten")
			return os.Rename(filepath.Join(dir, "next"), path)
		}},
		{"removed", path, func() error { return os.Remove(path) }},
		{"back", path, func() error { put(path, "one"); return nil }},
		{"mode", path, func() error { return os.Chmod(path, 0o644) }},
		{"a Secret's swap", filepath.Join(mount, "cert.pem"), func() error {
			if err := os.Symlink("..v2", filepath.Join(mount, "..tmp")); err != nil {
				return err
			}
			return os.Rename(filepath.Join(mount, "..tmp"), filepath.Join(mount, "..data"))
		}},
		{"a file in a directory", dir, func() error { put(filepath.Join(dir, "new"), "x"); return nil }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := NewWatch(tc.path, filepath.Join(dir, "never"))
			settled(t, w)
			if err := tc.change(); err != nil {
				t.Fatal(err)
			}
			if !w.Changed() {
				t.Error("not seen")
			}
			settled(t, w)
		})
	}
}

// Two changes in one step of the file system's clock are two changes: the second
// is not lost because the first was just seen.
func TestWatchMissesNoSecondChange(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x")
	if err := os.WriteFile(path, []byte("a"), 0o600); err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	w := NewWatch(path)
	w.Changed()
	if err := errors.Join(os.WriteFile(path, []byte("b"), 0o600), os.Chtimes(path, now, now)); err != nil {
		t.Fatal(err)
	}
	w.Changed()
	if err := errors.Join(os.WriteFile(path, []byte("c"), 0o600), os.Chtimes(path, now, now)); err != nil {
		t.Fatal(err)
	}
	if !w.Changed() {
		t.Error("lost")
	}
}
