package certs

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// lockName is the lock file in a CA's state directory. It stays there: removing
// it would let two processes lock two files of that name.
const lockName = "lock"

// lockState waits until no other process, and nobody else in this one, changes
// the CA's state directory. The lock ends with the process at the latest.
func lockState(dir string) (unlock func() error, err error) {
	path := filepath.Join(dir, lockName)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, keyMode)
	if err != nil {
		return nil, fmt.Errorf("locking %s: %w", dir, err)
	}
	if err := errors.Join(giveToOwner(f, dir), lockFile(f)); err != nil {
		return nil, fmt.Errorf("locking %s: %w", path, errors.Join(err, f.Close()))
	}
	return f.Close, nil
}

// lockDir does the same for a directory that is to hold three files and no
// other, by the directory itself. Where a file system or Windows cannot lock a
// directory it goes on without: two who issue into one directory at a time are
// a mistake already.
func lockDir(dir string) (unlock func()) {
	f, err := os.Open(dir)
	if err != nil {
		return func() {}
	}
	_ = lockFile(f)
	return func() { f.Close() }
}
