package certs

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"slices"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// changing are the system calls that can change something outside of the
// process, or show something to somebody.
var changing = []uint64{
	unix.SYS_WRITE, unix.SYS_PWRITE64, unix.SYS_FSYNC, unix.SYS_FTRUNCATE, unix.SYS_FCHMOD, unix.SYS_FCHMODAT,
	unix.SYS_RENAMEAT, unix.SYS_RENAMEAT2, unix.SYS_UNLINKAT, unix.SYS_MKDIRAT, unix.SYS_FLOCK, unix.SYS_CONNECT,
}

func changes(nr uint64, args [6]uint64) bool {
	if nr == unix.SYS_OPENAT {
		return args[2]&(unix.O_WRONLY|unix.O_RDWR|unix.O_CREAT|unix.O_TRUNC) != 0
	}
	return slices.Contains(changing, nr)
}

// errKilled: the child was killed where it was to be.
var errKilled = errors.New("killed")

// crashAt runs a job and kills it before its nth changing system call. It must be
// called on a locked thread: ptrace(2) binds a tracee to one.
func crashAt(t *testing.T, job, dir, address string, n int) error {
	t.Helper()
	stderr, err := os.CreateTemp(t.TempDir(), "stderr")
	if err != nil {
		t.Fatal(err)
	}
	defer stderr.Close()
	p, err := os.StartProcess(os.Args[0], []string{os.Args[0]}, &os.ProcAttr{
		Env:   append(os.Environ(), "CERTS_CRASH_JOB="+job, "CERTS_CRASH_DIR="+dir, "CERTS_CRASH_ADDRESS="+address, "GOMAXPROCS=2"),
		Files: []*os.File{nil, stderr, stderr},
		Sys:   &unix.SysProcAttr{Ptrace: true},
	})
	if err != nil {
		t.Fatal(err)
	}
	status := trace(t, p.Pid, n)
	_ = p.Release() // it was waited for
	switch {
	case status.Signaled() && status.Signal() == unix.SIGKILL:
		return errKilled
	case status.ExitStatus() == 0:
		return nil
	}
	text, _ := os.ReadFile(stderr.Name())
	return fmt.Errorf("%s: status %#x: %s", job, uint32(status), bytes.TrimSpace(text))
}

// trace follows all threads of a child to its end.
func trace(t *testing.T, child, n int) unix.WaitStatus {
	t.Helper()
	ready := false
	for seen := 0; ; {
		var status unix.WaitStatus
		tid, err := unix.Wait4(-1, &status, unix.WALL, nil)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			t.Fatal("wait4:", err)
		}
		if !status.Stopped() {
			if tid == child {
				return status
			}
			continue
		}
		deliver := 0
		switch sig := status.StopSignal(); {
		case !ready: // the exec
			ready = true
			err := unix.PtraceSetOptions(tid, unix.PTRACE_O_TRACESYSGOOD|unix.PTRACE_O_TRACECLONE|unix.PTRACE_O_EXITKILL)
			if err != nil {
				t.Fatal("ptrace:", err)
			}
		case sig == unix.SIGTRAP|0x80:
			if nr, args, entry := syscallOf(tid); entry && changes(nr, args) {
				if seen++; seen == n {
					_ = unix.Kill(child, unix.SIGKILL)
				}
			}
		case sig == unix.SIGTRAP, sig == unix.SIGSTOP: // a new thread's first
		default:
			deliver = int(sig)
		}
		_ = unix.PtraceSyscall(tid, deliver) // fails for one that was killed
	}
}

// syscallOf is what a stopped thread is about to call.
func syscallOf(tid int) (nr uint64, args [6]uint64, entry bool) {
	// struct ptrace_syscall_info of ptrace(2)
	var info struct {
		op   uint8
		_    [3]uint8
		arch uint32
		ip   uint64
		sp   uint64
		nr   uint64
		args [6]uint64
		_    [4]uint64
	}
	const getSyscallInfo, atEntry = 0x420e, 1
	_, _, errno := unix.Syscall6(unix.SYS_PTRACE, getSyscallInfo, uintptr(tid), unsafe.Sizeof(info), uintptr(unsafe.Pointer(&info)), 0, 0)
	return info.nr, info.args, errno == 0 && info.op == atEntry
}
