package certs

import (
	"os"

	"golang.org/x/sys/windows"
)

// tryLock locks the file's whole range for its handle if it is free.
func tryLock(f *os.File) (got bool, err error) {
	const how = windows.LOCKFILE_EXCLUSIVE_LOCK | windows.LOCKFILE_FAIL_IMMEDIATELY
	err = windows.LockFileEx(windows.Handle(f.Fd()), how, 0, ^uint32(0), ^uint32(0), new(windows.Overlapped))
	if err == windows.ERROR_LOCK_VIOLATION {
		return false, nil
	}
	return err == nil, err
}
