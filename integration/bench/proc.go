package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// clockTick is the unit of /proc/PID/stat's times: sysconf(_SC_CLK_TCK) is 100 on
// every Linux that Go runs on (proc(5)).
const clockTick = time.Second / 100

// stat is what we want of /proc/PID/stat (proc(5)).
type stat struct {
	state  byte
	parent int
	since  string // when it began: with its number, what no other process has
	// cpu is user and system time, of the process and of those of its children
	// that it has waited for.
	cpu time.Duration
}

func readStat(pid int) (stat, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return stat{}, err
	}
	// The second field is the program's name, which may hold anything.
	f := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	if len(f) < 20 {
		return stat{}, fmt.Errorf("/proc/%d/stat has %d fields", pid, len(f)+2)
	}
	s := stat{state: f[0][0], since: f[19]}
	if s.parent, err = strconv.Atoi(f[1]); err != nil {
		return stat{}, err
	}
	for _, field := range f[11:15] { // utime, stime, cutime, cstime
		ticks, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return stat{}, err
		}
		s.cpu += time.Duration(ticks) * clockTick
	}
	return s, nil
}

// descendants are the processes under those given, and these. By parent, not by
// process group or session: sshd's and PostgreSQL's children leave both.
func descendants(roots ...int) []int {
	children := map[int][]int{}
	dirs, _ := filepath.Glob("/proc/[0-9]*") // fails for a bad pattern only
	for _, dir := range dirs {
		if pid, err := strconv.Atoi(filepath.Base(dir)); err == nil {
			if s, err := readStat(pid); err == nil { // else it has just ended
				children[s.parent] = append(children[s.parent], pid)
			}
		}
	}
	family := roots
	for i := 0; i < len(family); i++ {
		family = append(family, children[family[i]]...)
	}
	return family
}

// born is when each of the processes began.
func born(pids []int) map[int]string {
	all := map[int]string{}
	for _, pid := range pids {
		if s, err := readStat(pid); err == nil { // else it has just ended
			all[pid] = s.since
		}
	}
	return all
}

// alive says whether the process that began then still runs. A zombie that waits
// for its parent does not.
func alive(pid int, since string) bool {
	s, err := readStat(pid)
	return err == nil && s.since == since && s.state != 'Z'
}

// usage is what processes use.
type usage struct {
	cpu    time.Duration // since they began
	memory int64         // resident, in bytes
}

// usageOf is the sum over processes and their descendants.
func usageOf(roots ...int) (usage, error) {
	var sum usage
	for _, pid := range descendants(roots...) {
		s, err := readStat(pid)
		if err != nil {
			continue // it has just ended, and its parent has its time
		}
		resident, err := resident(pid)
		if err != nil {
			return usage{}, err
		}
		sum.cpu += s.cpu
		sum.memory += resident
	}
	return sum, nil
}

// resident is the second field of /proc/PID/statm, in bytes; 0 for a process that
// has ended.
func resident(pid int) (int64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if os.IsNotExist(err) || len(text) == 0 {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	f := strings.Fields(string(text))
	if len(f) < 2 {
		return 0, fmt.Errorf("/proc/%d/statm: %q", pid, text)
	}
	pages, err := strconv.ParseInt(f[1], 10, 64)
	return pages * int64(os.Getpagesize()), err
}
