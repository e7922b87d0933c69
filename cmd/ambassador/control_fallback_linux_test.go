package main

import (
	"net"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// Everybody can write to shared memory: what is there is this user's, or it is not
// trusted.
func TestSharedMemoryIsTrustedOnlyWhenItIsOurs(t *testing.T) {
	defer func(before string) { sharedMemory = before }(sharedMemory)
	for name, prepare := range map[string]func(dir string) error{
		"nothing-there": func(string) error { return nil },
		"ours":          func(dir string) error { return os.Mkdir(dir, 0o700) },
	} {
		sharedMemory = t.TempDir()
		if err := prepare(userMemory()); err != nil {
			t.Fatal(err)
		}
		if err := ownMemory(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, prepare := range map[string]func(dir string) error{
		"open-to-others": func(dir string) error { return os.Mkdir(dir, 0o777) },
		"a-link":         func(dir string) error { return os.Symlink(t.TempDir(), dir) },
		"a-file":         func(dir string) error { return os.WriteFile(dir, nil, 0o700) },
	} {
		sharedMemory = t.TempDir()
		if err := prepare(userMemory()); err != nil {
			t.Fatal(err)
		}
		if name == "open-to-others" {
			os.Chmod(userMemory(), 0o777) // whatever the umask
		}
		if ownMemory() == nil {
			t.Errorf("%s: trusted", name)
		}
	}
	sharedMemory = "/dev/shm"
	if a, b := fallbackDir("/a"), fallbackDir("/b"); a == b || filepath.Dir(a) != userMemory() {
		t.Errorf("%s and %s", a, b)
	}
}

// A process that is killed leaves its socket, in memory.
func TestSharedMemoryIsSweptOfTheDead(t *testing.T) {
	defer func(before string) { sharedMemory = before }(sharedMemory)
	sharedMemory = t.TempDir()
	old := time.Now().Add(-time.Hour)
	socket := func(dir string) *net.UnixListener {
		dir = filepath.Join(userMemory(), dir)
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		l, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(dir, "serve.sock"), Net: "unix"})
		if err != nil {
			t.Fatal(err)
		}
		l.SetUnlinkOnClose(false)
		return l
	}
	living := socket("living")
	defer living.Close()
	socket("dead").Close()
	socket("young").Close()
	for _, dir := range []string{"living", "dead"} {
		if err := os.Chtimes(filepath.Join(userMemory(), dir), old, old); err != nil {
			t.Fatal(err)
		}
	}
	if err := ownMemory(); err != nil {
		t.Fatal(err)
	}
	var left []string
	entries, _ := os.ReadDir(userMemory())
	for _, e := range entries {
		left = append(left, e.Name())
	}
	if !slices.Equal(left, []string{"living", "young"}) {
		t.Errorf("left: %v", left)
	}
}
