package certs

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

func needsModes(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("modes mean nothing here")
	}
}

func TestModesOfWhatIsWritten(t *testing.T) {
	needsModes(t)
	ca := newCA(t, InitOptions{})
	p, c := provider(t, ca), clientOf(t, ca, "web")
	for _, dir := range []string{p.Dir, ca.path(""), filepath.Join(p.Dir, clientsDir), c.Dir} {
		if got := mode(t, dir); got != 0o700 {
			t.Errorf("%s has mode %o", dir, got)
		}
	}
	for _, key := range []string{ca.path(rootKey), ca.path(issuerKey), filepath.Join(p.Dir, clientsDir, "web.json"), p.Key, c.Key} {
		if got := mode(t, key); got != 0o600 {
			t.Errorf("%s has mode %o", key, got)
		}
	}
	names, err := os.ReadDir(c.Dir)
	if err != nil || len(names) != 3 {
		t.Errorf("a client's directory holds %v, %v", names, err)
	}
}

// Each loose file or directory is refused by whoever reads it, with its name,
// its mode and the chmod that mends it.
func TestLooseModesAreRefused(t *testing.T) {
	needsModes(t)
	for _, tc := range []struct {
		name string
		loose,
		mend os.FileMode
		file func(ca *CA, client Files) string
		read func(ca *CA, client Files) error
	}{
		{"client's key", 0o640, 0o600, func(_ *CA, c Files) string { return c.Key }, loadClient},
		{"client's key, written by others", 0o602, 0o600, func(_ *CA, c Files) string { return c.Key }, loadClient},
		{"client's directory", 0o755, 0o700, func(_ *CA, c Files) string { return c.Dir }, loadClient},
		{"provider's key", 0o644, 0o600, func(ca *CA, _ Files) string { return StateFiles(ca.Dir()).Key }, loadProvider},
		{"provider's key, before it is replaced", 0o644, 0o600, func(ca *CA, _ Files) string { return StateFiles(ca.Dir()).Key }, ensureProvider},
		{"state directory", 0o750, 0o700, func(ca *CA, _ Files) string { return ca.Dir() }, openCA},
		{"CA's directory", 0o711, 0o700, func(ca *CA, _ Files) string { return ca.path("") }, openCA},
		{"issuer's key", 0o604, 0o600, func(ca *CA, _ Files) string { return ca.path(issuerKey) }, openCA},
		{"client's record", 0o660, 0o600, func(ca *CA, _ Files) string { return filepath.Join(ca.Dir(), clientsDir, "web.json") }, grantOfWeb},
	} {
		t.Run(tc.name, func(t *testing.T) {
			ca := newCA(t, InitOptions{})
			provider(t, ca)
			client := clientOf(t, ca, "web")
			if err := tc.read(ca, client); err != nil {
				t.Fatal("before:", err)
			}
			file := strings.TrimSuffix(tc.file(ca, client), "/")
			if err := os.Chmod(file, tc.loose); err != nil {
				t.Fatal(err)
			}
			err := tc.read(ca, client)
			wantIs(t, err, ErrMode)
			if err == nil {
				return
			}
			for _, part := range []string{file + " is open to others", "(mode 0" + oct(tc.loose) + ")", `"chmod ` + oct(tc.mend) + " " + file + `"`} {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%q does not say %q", err, part)
				}
			}
			if err := os.Chmod(file, tc.mend); err != nil {
				t.Fatal(err)
			}
			if err := tc.read(ca, client); err != nil {
				t.Error("after:", err)
			}
		})
	}
}

func oct(m os.FileMode) string {
	return string([]byte{'0' + byte(m>>6&7), '0' + byte(m>>3&7), '0' + byte(m&7)})
}

func loadClient(_ *CA, f Files) error { _, err := Load(f, RoleClient); return err }
func loadProvider(ca *CA, _ Files) error {
	_, err := Load(StateFiles(ca.Dir()), RoleProvider)
	return err
}

func ensureProvider(ca *CA, _ Files) error {
	_, err := ca.EnsureProvider()
	return err
}
func openCA(ca *CA, _ Files) error { _, err := Open(ca.Dir(), OpenOptions{}); return err }
func grantOfWeb(ca *CA, _ Files) error {
	_, _, err := ca.Grant("spiffe://ambassador/client/web")
	return err
}

// An empty directory that is open to others becomes private; one in use is left
// as it is.
func TestDirectoriesThatExist(t *testing.T) {
	needsModes(t)
	empty, used := filepath.Join(t.TempDir(), "empty"), filepath.Join(t.TempDir(), "used")
	for _, dir := range []string{empty, used} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(used, "notes"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	ca := newCA(t, InitOptions{})
	if _, err := ca.IssueTo("web", nil, empty); err != nil || mode(t, empty) != 0o700 {
		t.Errorf("empty: %v, mode %o", err, mode(t, empty))
	}
	_, err := ca.IssueTo("web", nil, used)
	wantIs(t, err, ErrMode)
	if mode(t, used) != 0o755 {
		t.Errorf("used: mode %o", mode(t, used))
	}
	_, err = Init(used, InitOptions{})
	wantIs(t, err, ErrMode)
}

func TestReplacedFileIsWholeOrOld(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "key.pem")
	if err := replaceFile(path, []byte("old"), keyMode); err != nil {
		t.Fatal(err)
	}
	before, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := replaceFile(path, []byte("new"), keyMode); err != nil {
		t.Fatal(err)
	}
	after, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	// Written in place, a reader could see half of it.
	if os.SameFile(before, after) {
		t.Error("the file was written in place")
	}
	// A directory cannot be replaced by a file: the rename fails.
	if err := os.MkdirAll(filepath.Join(dir, "taken", "x"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := replaceFile(filepath.Join(dir, "taken"), []byte("new"), keyMode); err == nil {
		t.Error("no error")
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 2 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}

func TestOversizedFileIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "cert.pem")
	if err := os.WriteFile(path, make([]byte, maxFile+1), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := readFile(path)
	wantIs(t, err, ErrMalformed)
	_, err = readFile(filepath.Dir(path))
	wantIs(t, err, ErrMalformed)
}
