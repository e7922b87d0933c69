package main

import (
	"fmt"
	"os"
	"regexp"
	"strconv"

	"golang.org/x/sys/unix"
)

func freeSpace(dir string) (space, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return space{}, os.NewSyscallError("statfs", err)
	}
	inodes := s.Ffree
	if s.Files == 0 { // btrfs and others count none (statfs(2))
		inodes = 1
	}
	return space{known: true, readOnly: s.Flags&unix.ST_RDONLY != 0, bytes: s.Bavail * uint64(s.Bsize), inodes: inodes}, nil
}

// descriptorLimit is how many descriptors a process of ours may raise its limit to:
// Go does that when it starts.
func descriptorLimit() (uint64, bool) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 0, false
	}
	return limit.Max, true
}

var openFiles = regexp.MustCompile(`(?m)^Max open files +(\d+) `)

// descriptorLimitOf is how many descriptors a running process may have
// (proc_pid_limits(5)).
func descriptorLimitOf(pid int) (uint64, bool) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/limits", pid))
	if err != nil {
		return 0, false
	}
	m := openFiles.FindSubmatch(text)
	if m == nil {
		return 0, false
	}
	n, err := strconv.ParseUint(string(m[1]), 10, 64)
	return n, err == nil
}
