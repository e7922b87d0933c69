//go:build darwin || dragonfly || freebsd || illumos || linux || netbsd || openbsd

package certs

import (
	"os"

	"golang.org/x/sys/unix"
)

// lockFile takes flock(2)'s exclusive lock, which belongs to the open file: two
// goroutines with a file each exclude each other too, other than with fcntl(2).
func lockFile(f *os.File) error {
	for {
		if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != unix.EINTR {
			return err
		}
	}
}
