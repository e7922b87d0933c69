package main

import "fmt"

// spareFiles is for all that is open beside a work's connections.
const spareFiles = 500

// enoughFiles makes a check for a work that needs so many descriptors in one
// process.
func enoughFiles(n int) func() error {
	return func() error {
		have, err := raiseFileLimit()
		if err == nil && have < uint64(n) {
			err = fmt.Errorf("needs %d open files a process, and %d are allowed: raise \"ulimit -Hn\"", n, have)
		}
		return err
	}
}
