package certs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// What changes files is run in a process of its own, which is killed before the
// first system call that could change something, then before the second, and so
// on until it lives to its end. After each death the files have to hold the old
// state or the new, and the same work has to succeed on them.

// crashJobs are what the child does, by the value of CERTS_CRASH_JOB. Its files
// are in the directory CERTS_CRASH_DIR: the provider's state in p, a client's in
// c, and what else it needs.
var crashJobs = map[string]func(dir string) error{
	"init": func(dir string) error {
		ca, _, err := Ensure(dir+"/p", InitOptions{Provider: "big-server"})
		if err != nil {
			return err
		}
		_, err = ca.EnsureProvider()
		return err
	},
	"invite": onCA(func(ca *CA, dir string) error {
		_, _, err := ca.Invite("web", InviteOptions{})
		return err
	}),
	"redeem": onCA(func(ca *CA, dir string) error {
		token, err := tokenIn(dir)
		if err != nil {
			return err
		}
		key, err := pendingKey(StateFiles(dir + "/c"))
		if err != nil {
			return err
		}
		der, err := newRequest(key)
		if err != nil {
			return err
		}
		csr, err := parseRequest(der)
		if err != nil {
			return err
		}
		_, _, err = ca.redeem(token.ID, token.secret[:], csr)
		return err
	}),
	"grant":  onCA(func(ca *CA, dir string) error { _, err := ca.AddLinks("web", []string{"mq"}); return err }),
	"issue":  onCA(func(ca *CA, dir string) error { _, err := ca.IssueTo("web", nil, dir+"/c"); return err }),
	"revoke": onCA(func(ca *CA, dir string) error { return ca.Revoke("web") }),
	"root":   onCA(func(ca *CA, dir string) error { return ca.RenewNow(nil, true) }),
	"join": func(dir string) error {
		token, err := tokenIn(dir)
		if err != nil {
			return err
		}
		_, err = Join(context.Background(), dialTo(os.Getenv("CERTS_CRASH_ADDRESS")), token, dir+"/c")
		return err
	},
	"renew": func(dir string) error {
		c, err := Load(StateFiles(dir+"/c"), RoleClient)
		if err != nil {
			return err
		}
		return c.Renew(context.Background(), dialTo(os.Getenv("CERTS_CRASH_ADDRESS")))
	},
}

func onCA(do func(*CA, string) error) func(string) error {
	return func(dir string) error {
		ca, err := Open(dir+"/p", OpenOptions{})
		if err != nil {
			return err
		}
		return do(ca, dir)
	}
}

func tokenIn(dir string) (Token, error) {
	text, err := os.ReadFile(dir + "/token")
	if err != nil {
		return Token{}, err
	}
	return ParseToken(string(text))
}

// crashChild does a job if this process is such a child.
func crashChild() (is bool) {
	job := os.Getenv("CERTS_CRASH_JOB")
	if job == "" {
		return false
	}
	if err := crashJobs[job](os.Getenv("CERTS_CRASH_DIR")); err != nil {
		fmt.Fprintln(os.Stderr, job, err)
		os.Exit(1)
	}
	os.Exit(0)
	return true
}

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

// crashScene is a fresh set of files for one death.
type crashScene struct {
	dir     string
	ca      *CA
	e       *enrolling // nil if the job needs no provider
	client  Files
	token   Token
	address string
}

// TestCrashAtAnyWrite kills each job everywhere.
func TestCrashAtAnyWrite(t *testing.T) {
	for _, tc := range []struct {
		job string
		// before makes the files. If nil, there are none.
		before func(t *testing.T, s *crashScene)
		// after checks them: done says that the child had come to its end.
		after func(t *testing.T, s *crashScene, done bool)
		least int // deaths that there must be, or the test has seen nothing
	}{
		{"init", nil, afterInit, 25},
		{"invite", withCA, afterInvite, 5},
		{"redeem", withToken, afterRedeem, 15},
		{"grant", withClient, afterGrant, 5},
		{"issue", withClient, afterIssue, 15},
		{"revoke", withClient, afterRevoke, 6},
		{"root", withClient, afterRoot, 30},
		{"join", withProvider, afterJoin, 20},
		{"renew", withProvider, afterRenew, 20},
	} {
		t.Run(tc.job, func(t *testing.T) {
			deaths := 0
			for n := 1; ; n++ {
				s := &crashScene{dir: t.TempDir()}
				if tc.before != nil {
					tc.before(t, s)
				}
				err := onOneThread(func() error { return crashAt(t, tc.job, s.dir, s.address, n) })
				if err != nil && err != errKilled {
					t.Fatalf("death %d: %v", n, err)
				}
				tc.after(t, s, err == nil)
				if t.Failed() {
					t.Fatalf("after death %d", n)
				}
				if err == nil {
					break
				}
				deaths++
			}
			if deaths < tc.least {
				t.Errorf("died %d times only", deaths)
			}
			t.Logf("%d deaths", deaths)
		})
	}
}

func onOneThread(do func() error) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	return do()
}

func withCA(t *testing.T, s *crashScene) {
	ca, err := Init(s.dir+"/p", InitOptions{Provider: "big-server"})
	if err != nil {
		t.Fatal(err)
	}
	provider(t, ca)
	s.ca = ca
}

func withToken(t *testing.T, s *crashScene) {
	withCA(t, s)
	s.token = invited(t, s.ca, "web", InviteOptions{Links: []string{"redis"}})
	if err := errors.Join(os.WriteFile(s.dir+"/token", []byte(s.token.Text()), keyMode), os.Mkdir(s.dir+"/c", dirMode)); err != nil {
		t.Fatal(err)
	}
}

func withClient(t *testing.T, s *crashScene) {
	withCA(t, s)
	if _, err := s.ca.IssueTo("web", []string{"redis"}, s.dir+"/c"); err != nil {
		t.Fatal(err)
	}
	s.client = StateFiles(s.dir + "/c")
	invited(t, s.ca, "web", InviteOptions{})
}

func withProvider(t *testing.T, s *crashScene) {
	withToken(t, s)
	if strings.Contains(t.Name(), "/renew") {
		if _, err := s.ca.IssueTo("db", []string{"redis"}, s.dir+"/c"); err != nil {
			t.Fatal(err)
		}
	}
	s.client = StateFiles(s.dir + "/c")
	s.e = startEnrolling(t, s.ca)
	s.address = s.e.address
}

// works checks that the CA of the scene is whole, and its provider.
func (s *crashScene) works(t *testing.T) *CA {
	t.Helper()
	ca, _, err := Ensure(s.dir+"/p", InitOptions{Provider: "big-server"})
	if err != nil {
		t.Fatal("CA:", err)
	}
	f := provider(t, ca)
	if _, err := Load(f, RoleProvider); err != nil {
		t.Fatal("provider:", err)
	}
	if _, err := ca.Clients(); err != nil {
		t.Error("records:", err)
	}
	if _, err := ca.Invitations(); err != nil {
		t.Error("invitations:", err)
	}
	// The work that follows leaves nothing unfinished behind.
	if _, err := ca.Maintain(nil, time.Now().Add(time.Hour)); err != nil {
		t.Error("maintenance:", err)
	}
	return ca
}

func afterInit(t *testing.T, s *crashScene, done bool) {
	ca := s.works(t)
	if _, err := ca.IssueTo("web", nil, s.dir+"/c"); err != nil {
		t.Error(err)
	}
	noLeftovers(t, s.dir+"/p")
}

func afterInvite(t *testing.T, s *crashScene, done bool) {
	ca := s.works(t)
	all, err := ca.Invitations()
	if err != nil || len(all) > 1 || done && len(all) != 1 {
		t.Errorf("%v, %v", all, err)
	}
	invited(t, ca, "db", InviteOptions{})
	noLeftovers(t, s.dir+"/p")
}

func afterRedeem(t *testing.T, s *crashScene, done bool) {
	ca := s.works(t)
	// The same key is served, and then no other.
	if err := crashJobs["redeem"](s.dir); err != nil {
		t.Error("again with the same key:", err)
	}
	_, _, err := ca.redeem(s.token.ID, s.token.secret[:], csrOf(t, testKey(t)))
	wantIs(t, err, ErrInvitation)
	s.oneCertificate(t, ca, "web")
	noLeftovers(t, s.dir+"/p")
}

func (s *crashScene) oneCertificate(t *testing.T, ca *CA, name string) {
	t.Helper()
	r, ok, err := ca.record(Identity{"ambassador", RoleClient, name})
	if err != nil || !ok || len(r.Certificates) != 1 || !slices.Equal(r.Links, []string{"redis"}) {
		t.Errorf("recorded %+v, %v", r, err)
	}
}

func afterGrant(t *testing.T, s *crashScene, done bool) {
	ca := s.works(t)
	links, _, err := ca.Grant("spiffe://ambassador/client/web")
	if got := strings.Join(links, " "); err != nil || got != "redis" && got != "mq redis" || done && got != "mq redis" {
		t.Errorf("%v, %v", links, err)
	}
	if links, err := ca.AddLinks("web", []string{"mq"}); err != nil || !slices.Equal(links, []string{"mq", "redis"}) {
		t.Errorf("again: %v, %v", links, err)
	}
	noLeftovers(t, s.dir+"/p")
}

func afterIssue(t *testing.T, s *crashScene, done bool) {
	ca := s.works(t)
	for range 2 {
		c, err := Load(s.client, RoleClient)
		if err != nil {
			t.Fatal("its files:", err)
		}
		if links, err := admits(ca, c.Certificate()); err != nil || !slices.Equal(links, []string{"redis"}) {
			t.Errorf("%v, %v", links, err)
		}
		if err := handshakes(t, s.client, StateFiles(ca.Dir())); err != nil {
			t.Error(err)
		}
		if _, err := ca.IssueTo("web", nil, s.client.Dir); err != nil {
			t.Error("again:", err)
		}
	}
	noLeftovers(t, s.client.Dir)
	noLeftovers(t, s.dir+"/p")
}

func afterRevoke(t *testing.T, s *crashScene, done bool) {
	ca := s.works(t)
	cert := certOf(t, s.client)
	_, err := admits(ca, cert)
	if err != nil || done {
		wantIs(t, err, ErrRevoked)
		// It has no way back by then.
		if all, err := ca.Invitations(); err != nil || len(all) > 0 {
			t.Errorf("%v, %v", all, err)
		}
	}
	if err := ca.Revoke("web"); err != nil {
		t.Error("again:", err)
	}
	_, err = admits(ca, cert)
	wantIs(t, err, ErrRevoked)
	noLeftovers(t, s.dir+"/p")
}

func afterRoot(t *testing.T, s *crashScene, done bool) {
	// As it is after the death, and once more after the work that follows.
	f := StateFiles(s.dir + "/p")
	for range 2 {
		if err := handshakes(t, s.client, f); err != nil {
			t.Error("a client of before:", err)
		}
		s.works(t)
	}
	ca := s.works(t)
	if n := len(ca.roots); n > 2 || done && n != 2 {
		t.Errorf("%d roots", n)
	}
	if err := ca.RenewNow(nil, true); err != nil {
		t.Error("again:", err)
	}
	ca = s.works(t)
	if err := errors.Join(handshakes(t, s.client, f), handshakes(t, clientOf(t, ca, "fresh"), f)); err != nil {
		t.Error(err)
	}
	noLeftovers(t, s.dir+"/p")
}

func afterJoin(t *testing.T, s *crashScene, done bool) {
	if _, err := Load(s.client, RoleClient); err != nil && (done || !errors.Is(err, ErrNoCertificate)) {
		t.Error("its files:", err)
	}
	if _, err := Join(t.Context(), dialTo(s.address), s.token, s.client.Dir); err != nil {
		t.Error("again:", err)
	}
	if err := handshakes(t, s.client, StateFiles(s.ca.Dir())); err != nil {
		t.Error(err)
	}
	s.oneCertificate(t, s.works(t), "web")
	noLeftovers(t, s.client.Dir)
}

func afterRenew(t *testing.T, s *crashScene, done bool) {
	c, err := Load(s.client, RoleClient)
	if err != nil {
		t.Fatal("its files:", err)
	}
	ca := s.works(t)
	if links, err := admits(ca, c.Certificate()); err != nil || !slices.Equal(links, []string{"redis"}) {
		t.Errorf("what it has now: %v, %v", links, err)
	}
	if err := handshakes(t, s.client, StateFiles(s.ca.Dir())); err != nil {
		t.Error(err)
	}
	before := c.Certificate()
	if err := c.Renew(t.Context(), dialTo(s.address)); err != nil || c.Certificate().Equal(before) {
		t.Error("again:", err)
	}
	noLeftovers(t, s.client.Dir)
}

// noLeftovers looks for unfinished files, which would pile up.
func noLeftovers(t *testing.T, dir string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && strings.Contains(path, temporary) {
			t.Errorf("%s is left", path)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// A disk that fills up in the middle keeps the old certificate, and says so.
func TestFullDiskKeepsTheOldCertificate(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can mount a file system of a few pages")
	}
	ca := newCA(t, InitOptions{})
	e := startEnrolling(t, ca)
	disk := t.TempDir()
	if err := unix.Mount("tmpfs", disk, "tmpfs", 0, "size=64k,mode=0700"); err != nil {
		if errors.Is(err, unix.EPERM) {
			t.Skip("no mount is allowed here:", err)
		}
		t.Fatal(err)
	}
	defer func() {
		if err := unix.Unmount(disk, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	}()
	dir := filepath.Join(disk, "client")
	if _, err := ca.IssueTo("web", nil, dir); err != nil {
		t.Fatal(err)
	}
	f := StateFiles(dir)
	c, err := Load(f, RoleClient)
	if err != nil {
		t.Fatal(err)
	}
	before := c.Certificate()
	full := 0
	// Page by page: the disk is full at ever later writes, until all fit.
	for free := 0; ; free++ {
		ballast(t, filepath.Join(disk, "ballast"), free)
		err := c.Renew(t.Context(), dialTo(e.address))
		if err == nil {
			break
		}
		full++
		if !errors.Is(err, unix.ENOSPC) || !strings.Contains(err.Error(), dir) {
			t.Fatalf("%d pages free: %v does not say which disk is full", free, err)
		}
		if !c.Certificate().Equal(before) || !certOf(t, f).Equal(before) {
			t.Fatalf("%d pages free: the certificate has changed", free)
		}
		if _, err := Load(f, RoleClient); err != nil {
			t.Fatalf("%d pages free: %v", free, err)
		}
	}
	if full == 0 || c.Certificate().Equal(before) {
		t.Errorf("full %d times", full)
	}
}

// ballast leaves so many pages of a disk.
func ballast(t *testing.T, file string, pages int) {
	t.Helper()
	if err := os.Remove(file); err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	var disk unix.Statfs_t
	if err := unix.Statfs(filepath.Dir(file), &disk); err != nil {
		t.Fatal(err)
	}
	if n := int64(disk.Bfree) - int64(pages); n > 0 {
		if err := os.WriteFile(file, make([]byte, n*int64(disk.Bsize)), keyMode); err != nil {
			t.Fatal(err)
		}
	}
}
