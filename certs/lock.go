package certs

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// lockName is the lock file in a CA's state directory. It stays there: removing
// it would let two processes lock two files of that name.
const lockName = "lock"

// The pauses between attempts at a lock. Those who hold it write a few small
// files. A call of the system that waits could not be ended.
const (
	firstLockPause   = time.Millisecond
	longestLockPause = 25 * time.Millisecond
	// tellWaitAfter is how long it is waited in silence.
	tellWaitAfter = 2 * time.Second
)

type waitKey struct{}

// OnWait returns a context with which whoever waits for a lock for more than two
// seconds calls tell, once for each wait, with the path of what is locked. tell
// may be called by several goroutines at once.
func OnWait(ctx context.Context, tell func(path string)) context.Context {
	return context.WithValue(ctx, waitKey{}, tell)
}

// lockState waits until no other process, and nobody else in this one, changes
// the CA's state directory, or until ctx is done. The lock ends with the process
// at the latest.
func lockState(ctx context.Context, dir string) (unlock func() error, err error) {
	path := filepath.Join(dir, lockName)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, keyMode)
	if err != nil {
		return nil, fmt.Errorf("locking %s: %w", dir, err)
	}
	if err := errors.Join(giveToOwner(f, dir), lockFile(ctx, f)); err != nil {
		return nil, fmt.Errorf("locking %s: %w", path, errors.Join(err, f.Close()))
	}
	return f.Close, nil
}

// lockDir does the same for a directory that is to hold three files and no
// other, by the directory itself. Where a file system or Windows cannot lock a
// directory it goes on without: two who issue into one directory at a time are
// a mistake already. The error is that of ctx.
func lockDir(ctx context.Context, dir string) (unlock func(), err error) {
	f, err := os.Open(dir)
	if err != nil {
		return func() {}, nil
	}
	if err := lockFile(ctx, f); err != nil && ctx.Err() != nil {
		f.Close()
		return nil, fmt.Errorf("locking %s: %w", dir, err)
	}
	return func() { f.Close() }, nil
}

// lockFile tries until it has the lock. The error is that of ctx, or of the
// system.
func lockFile(ctx context.Context, f *os.File) error {
	began, told := time.Now(), false
	for pause := firstLockPause; ; pause = min(2*pause, longestLockPause) {
		if got, err := tryLock(f); got || err != nil {
			return err
		}
		if tell, ok := ctx.Value(waitKey{}).(func(string)); ok && !told && time.Since(began) >= tellWaitAfter {
			told = true
			tell(f.Name())
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return fmt.Errorf("another process holds it: %w", ctx.Err())
		}
	}
}
