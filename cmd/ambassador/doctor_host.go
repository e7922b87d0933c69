package main

import (
	"fmt"
	"path/filepath"
)

// The free space below which renewals are in danger, and below which they fail, in
// bytes. A certificate with its key and a client's record are some kilobytes.
const (
	littleSpace = 64 << 20
	noSpace     = 1 << 20
)

// disk checks that certificates and records can still be written.
func (d *diagnosis) disk(dir string) {
	space, err := freeSpace(dir)
	for err != nil && dir != filepath.Dir(dir) { // what is not there yet will be made below what is
		dir = filepath.Dir(dir)
		space, err = freeSpace(dir)
	}
	fix := "free some space: certificates renew themselves in the state directory, and grants and invitations are kept there"
	switch {
	case err != nil || !space.known:
		return
	case space.readOnly:
		d.fail(checkDisk, "", "the file system of "+dir+" is read-only", "mount it writable: certificates renew themselves in the state directory")
	case space.bytes < noSpace || space.inodes == 0:
		d.fail(checkDisk, "", fmt.Sprintf("%d KiB and %d inodes are free in %s", space.bytes>>10, space.inodes, dir), fix)
	case space.bytes < littleSpace:
		d.warn(checkDisk, "", fmt.Sprintf("%d MiB are free in %s", space.bytes>>20, dir), fix)
	default:
		d.ok(checkDisk, "", "%d MiB are free in %s", space.bytes>>20, dir)
	}
}

// space is what is free in a file system.
type space struct {
	known         bool
	readOnly      bool
	bytes, inodes uint64
}
