package certs

import (
	"os"

	"golang.org/x/sys/windows"
)

// lockFile locks the file's whole range for its handle.
func lockFile(f *os.File) error {
	return windows.LockFileEx(windows.Handle(f.Fd()), windows.LOCKFILE_EXCLUSIVE_LOCK, 0, ^uint32(0), ^uint32(0), new(windows.Overlapped))
}
