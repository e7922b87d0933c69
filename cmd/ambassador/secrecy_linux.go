package main

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// keepMemoryPrivate sees to it that the process's memory is written to no core
// file and read by no other process but root's: it holds tokens and keys, and a
// core file lies about, and is sent to whoever is to look into a crash. Without
// PR_SET_DUMPABLE a limit of 0 would not hold for a core_pattern with a pipe, and
// other processes of the same user could attach and read /proc/PID/environ, where
// AMBASSADOR_JOIN is (prctl(2), core(5), proc(5)). An operator loses gdb, strace
// and /proc/PID but as root.
func keepMemoryPrivate() error {
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("prctl: %w", err)
	}
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		return fmt.Errorf("setrlimit: %w", err)
	}
	return nil
}
