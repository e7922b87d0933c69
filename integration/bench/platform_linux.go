package main

import (
	"os/exec"
	"syscall"
)

func checkPlatform() error { return nil }

// isolate puts a command into a process group of its own, so that Ctrl-C in a
// terminal reaches us alone, and has the kernel end it when we are gone.
func isolate(cmd *exec.Cmd, user *account) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if user != nil {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: user.uid, Gid: user.gid}
	}
}

// kill and killGroup fail for what has ended, which is as good.
func kill(pid int)      { _ = syscall.Kill(pid, syscall.SIGKILL) }
func killGroup(pid int) { _ = syscall.Kill(-pid, syscall.SIGKILL) }

// raiseFileLimit gives us, and what we start from now on, as many descriptors as
// we may have, and returns how many.
func raiseFileLimit() (uint64, error) {
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
		return 0, err
	}
	l.Cur = l.Max
	// Children inherit it because we set it ourselves: what the Go runtime raises
	// when it starts, os/exec lowers again.
	return l.Cur, syscall.Setrlimit(syscall.RLIMIT_NOFILE, &l)
}
