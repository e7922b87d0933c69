//go:build darwin || dragonfly || freebsd || illumos || linux || netbsd || openbsd

package certs

import (
	"os"

	"golang.org/x/sys/unix"
)

// tryLock takes flock(2)'s exclusive lock if it is free. It belongs to the open
// file: two goroutines with a file each exclude each other too, other than with
// fcntl(2).
func tryLock(f *os.File) (got bool, err error) {
	switch err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err {
	case unix.EWOULDBLOCK, unix.EINTR:
		return false, nil
	default:
		return err == nil, err
	}
}
