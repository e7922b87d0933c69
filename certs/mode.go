//go:build !windows

package certs

import (
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// checkMode refuses a key or a directory that others can use: the owner's bits
// alone may be set. One exception, which PostgreSQL makes for its keys too: the
// group may read what root owns and we, not being root, cannot own. Kubernetes
// hands secrets to a process by an fsGroup.
func checkMode(path string, info fs.FileInfo) error {
	loose := info.Mode().Perm() & 0o077
	st, ok := info.Sys().(*syscall.Stat_t)
	if ok && st.Uid == 0 && os.Geteuid() != 0 && !info.IsDir() {
		loose &^= 0o040
	}
	if loose == 0 {
		return nil
	}
	want, hint := keyMode, ""
	if info.IsDir() {
		want, hint = dirMode, ", or choose a directory inside it"
	}
	return &FileError{
		File:    path,
		Problem: fmt.Sprintf("is open to others than its owner (mode %04o)", info.Mode().Perm()),
		Hint:    fmt.Sprintf(`run "chmod %o %s"%s`, want, path, hint),
		Err:     ErrMode,
	}
}

// syncDir makes a rename in a directory durable (rename(2) and fsync(2)).
func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Sync(); err != nil {
		return fmt.Errorf("syncing directory %s: %w", dir, err)
	}
	return nil
}
