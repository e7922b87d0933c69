package main

import (
	"os"
	"path/filepath"
	"testing"
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
