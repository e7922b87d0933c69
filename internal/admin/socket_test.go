package admin_test

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ambassador/internal/admin"
)

func TestSocketIsForItsUserAlone(t *testing.T) {
	dir := filepath.Join(shortDir(t), "new")
	l, err := admin.Listen(filepath.Join(dir, "serve.sock"), false)
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]os.FileMode{dir: 0o700 | os.ModeDir, filepath.Join(dir, "serve.sock"): 0o600 | os.ModeSocket} {
		info, err := os.Lstat(path)
		if err != nil || info.Mode() != want {
			t.Errorf("%s: mode %v, %v; want %v", path, info.Mode(), err, want)
		}
	}
	if err := errors.Join(l.Close(), l.Close()); err != nil {
		t.Error(err)
	}
	if left, _ := os.ReadDir(dir); len(left) > 0 {
		t.Errorf("%s is left", left[0])
	}
}

// A process that is killed leaves its file.
func TestSocketOfADeadProcessIsReplaced(t *testing.T) {
	path := filepath.Join(shortDir(t), "s")
	dead, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	dead.SetUnlinkOnClose(false)
	dead.Close()
	l, err := admin.Listen(path, false)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	reaches(t, path, l)
}

func TestSocketOfALivingProcessIsNotStolen(t *testing.T) {
	path := filepath.Join(shortDir(t), "s")
	first, err := admin.Listen(path, false)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := admin.Listen(path, false); !errors.Is(err, admin.ErrTaken) {
		t.Errorf("a second one: %v", err)
	}
	reaches(t, path, first)
	if err := first.Close(); err != nil {
		t.Error(err)
	}
}

// A new process takes the path over, and the old one, when it ends, leaves the new
// one's file alone.
func TestSocketIsTakenOverByTheNextProcess(t *testing.T) {
	path := filepath.Join(shortDir(t), "s")
	first, err := admin.Listen(path, false)
	if err != nil {
		t.Fatal(err)
	}
	second, err := admin.Listen(path, true)
	if err != nil {
		t.Fatal(err)
	}
	reaches(t, path, second)
	if err := first.Close(); err != nil {
		t.Error(err)
	}
	reaches(t, path, second)
	if err := second.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the last one leaves its file: %v", err)
	}
}

// reaches checks that whoever connects to the path comes to that listener.
func reaches(t *testing.T, path string, l net.Listener) {
	t.Helper()
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	c.Close()
	l.(interface{ SetDeadline(time.Time) error }).SetDeadline(time.Now().Add(patience))
	// One who looked whether somebody listens may be before us, and says nothing.
	for got := 0; got == 0; {
		a, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		got, _ = a.Read(make([]byte, 1))
		a.Close()
	}
}

func TestSocketsThatCannotBeSayWhy(t *testing.T) {
	dir := shortDir(t)
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		path, says string
		is         error
	}{
		"a-file-in-the-way": {file, "is there and is no socket: remove it", admin.ErrPath},
		"too-long":          {filepath.Join(dir, strings.Repeat("x", 120)), "choose a shorter one with --control-socket", admin.ErrPath},
		"far-from-all":      {filepath.Join(dir, "a", "b", "s"), "there is no directory " + filepath.Join(dir, "a") + ": make it", admin.ErrPath},
		"below-a-file":      {filepath.Join(file, "s"), "not a directory", nil},
	} {
		t.Run(name, func(t *testing.T) {
			l, err := admin.Listen(c.path, true)
			if err == nil {
				l.Close()
				t.Fatal("it is opened")
			}
			if !strings.Contains(err.Error(), c.says) || c.is != nil && !errors.Is(err, c.is) {
				t.Errorf("%v; want %q", err, c.says)
			}
		})
	}
	if text, err := os.ReadFile(file); string(text) != "mine" {
		t.Errorf("the file was changed: %q, %v", text, err)
	}
	if _, err := os.Lstat(filepath.Join(dir, "a")); err == nil {
		t.Error("directories are made for a path that was refused")
	}
	// The longest that is promised does.
	longest := filepath.Join(dir, strings.Repeat("x", 99-len(dir)-1))
	l, err := admin.Listen(longest, false)
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
}
