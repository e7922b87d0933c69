package certs

import (
	"errors"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"
)

// A write that fails in the middle leaves the old file and nothing else. The
// limit on a file's size stands for a full disk; it holds for a whole process,
// so the test runs itself as another.
func TestFailingWriteLeavesTheOldFile(t *testing.T) {
	const inside = "CERTS_TEST_FULL_DISK"
	if dir := os.Getenv(inside); dir != "" {
		writeOnFullDisk(t, dir)
		return
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "key.pem")
	if err := os.WriteFile(path, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestFailingWriteLeavesTheOldFile$")
	cmd.Env = append(os.Environ(), inside+"="+dir)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if got, err := os.ReadFile(path); string(got) != "old" || err != nil {
		t.Errorf("the file is %q, %v", got, err)
	}
	if entries, err := os.ReadDir(dir); len(entries) != 1 || err != nil {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}

func writeOnFullDisk(t *testing.T, dir string) {
	signal.Ignore(syscall.SIGXFSZ) // write(2) then fails with EFBIG
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: 512, Max: 512}); err != nil {
		t.Fatal(err)
	}
	err := replaceFile(filepath.Join(dir, "key.pem"), make([]byte, 4096), keyMode)
	if !errors.Is(err, syscall.EFBIG) {
		t.Fatalf("got %v, want EFBIG", err)
	}
}
