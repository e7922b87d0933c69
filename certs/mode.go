//go:build !windows

package certs

import (
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// checkMode refuses a key or a directory that others than its owner can use.
func checkMode(path string, info fs.FileInfo) error {
	owner := -1
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		owner = int(st.Uid)
	}
	if looseBits(info.Mode(), owner, os.Geteuid()) == 0 {
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

// looseBits are the bits of a mode that should not be set: all but the owner's.
// One exception, which PostgreSQL makes for its keys too: the group may read a
// file that root owns where we are not root and so could not own it. Kubernetes
// hands secrets to a process by its group.
func looseBits(mode fs.FileMode, owner, self int) fs.FileMode {
	loose := mode.Perm() & 0o077
	if owner == 0 && self != 0 && !mode.IsDir() {
		loose &^= 0o040
	}
	return loose
}

// giveToOwner gives what root has made in a directory to the directory's owner:
// "sudo ambassador invite" must not leave a file that the provider, which runs as
// a user of its own, cannot read.
func giveToOwner(f *os.File, dir string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok || st.Uid == 0 {
		return nil
	}
	return f.Chown(int(st.Uid), int(st.Gid))
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
