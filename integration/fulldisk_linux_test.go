package integration

import (
	"crypto/sha256"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"ambassador/certs"

	"golang.org/x/sys/unix"
)

// disk is a file system of a few pages.
type disk struct {
	t    *testing.T
	path string
}

func newDisk(t *testing.T) *disk {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can mount a file system of a few pages")
	}
	d := &disk{t, t.TempDir()}
	if err := unix.Mount("tmpfs", d.path, "tmpfs", 0, "size=1m,mode=0700"); err != nil {
		if errors.Is(err, unix.EPERM) && !required("redis") {
			t.Skip("no mount is allowed here:", err)
		}
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(d.path, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return d
}

func (d *disk) ballast() string { return filepath.Join(d.path, "ballast") }

// fill leaves not one page.
func (d *disk) fill() {
	d.t.Helper()
	f, err := os.OpenFile(d.ballast(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		d.t.Fatal(err)
	}
	defer f.Close()
	for err == nil {
		_, err = f.Write(make([]byte, 4096))
	}
	if !errors.Is(err, syscall.ENOSPC) {
		d.t.Fatal(err)
	}
}

// clear makes room again.
func (d *disk) clear() {
	d.t.Helper()
	remove(d.t, d.ballast())
}

// hashes are all files of a directory and what is in them, but for sockets, and for
// locks, which are empty and stay.
func hashes(t *testing.T, dir string) map[string][32]byte {
	t.Helper()
	all := map[string][32]byte{}
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(path)
		if len(b) > 0 || !strings.Contains(filepath.Base(path), "lock") {
			all[path] = sha256.Sum256(b)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// unchanged expects the files of before, and says which are others.
func unchanged(t *testing.T, what, dir string, before map[string][32]byte) {
	t.Helper()
	after := hashes(t, dir)
	for path := range after {
		if before[path] != after[path] {
			t.Errorf("%s: %s is new or another", what, path)
		}
	}
	for path := range before {
		if _, there := after[path]; !there {
			t.Errorf("%s: %s is gone", what, path)
		}
	}
	if t.Failed() && maps.Equal(before, after) {
		t.Logf("%s: the files are those of before", what)
	}
}

// aged are files of a certificate that is due to be renewed.
func aged(t *testing.T, j *joined, days int) (dir string) {
	t.Helper()
	ca, err := certs.Open(j.state[0], certs.OpenOptions{Now: func() time.Time { return time.Now().AddDate(0, 0, -days) }})
	if err != nil {
		t.Fatal(err)
	}
	dir = t.TempDir() + "/aged"
	if _, err := ca.IssueTo("tester", nil, dir); err != nil {
		t.Fatal(err)
	}
	return dir
}

// use puts a certificate into the client's directory, over the one that is there: that
// takes no page.
func (j *joined) use(t *testing.T, dir string) {
	t.Helper()
	for _, f := range []string{"key.pem", "cert.pem"} {
		copyFile(t, filepath.Join(dir, f), filepath.Join(j.state[1], f))
	}
}

// TestFullDiskOfAProvider: while the provider's disk is full nobody is let in, nothing
// is half written, whoever asks is told why, and the tunnel goes on. When there is
// room again all of it works, for those that have waited too.
func TestFullDiskOfAProvider(t *testing.T) {
	d := newDisk(t)
	j := joinIn(t, d.path+"/provider", t.TempDir()+"/client", "backend")
	consumer, service := j.b.dial(t, j.entry)
	exchange(t, consumer, service)
	token := invite(t, j.state[0], "late")
	first, second := aged(t, j, 22), aged(t, j, 23)
	d.fill()
	before := hashes(t, j.state[0])

	for _, args := range [][]string{
		{"invite", "other"},
		{"grant", "tester", "other"},
		{"revoke", "tester", "backend"},
		{"revoke", "tester"},
		{"certs", "issue", "other", "--out", t.TempDir() + "/other"},
		{"certs", "renew"},
	} {
		code, _, stderr := once(t, nil, append(args, "--state-dir", j.state[0])...)
		if code != 1 || !strings.Contains(stderr, "no space left on device") || !strings.Contains(stderr, j.state[0]) {
			t.Errorf("%v: exit %d, and it says %q; want 1, and which disk is full", args, code, stderr)
		}
		unchanged(t, strings.Join(args, " "), j.state[0], before)
	}
	late := run(t, nil, "connect", j.provider.address(), "--state-dir", t.TempDir()+"/late", "--join", token, "--expose", freePort(t)+"=backend")
	late.waitLog("provider not reached to join, will keep trying")
	j.provider.waitLog("enrolment refused", "no space left on device", j.state[0])
	unchanged(t, "a client that joins", j.state[0], before)
	j.use(t, first)
	j.waitLog("certificate not renewed, will try again")
	unchanged(t, "a renewal", j.state[0], before)
	exchange(t, consumer, service)
	fresh, freshService := j.b.dial(t, j.entry)
	exchange(t, fresh, freshService)
	if n := j.count("session with the provider lost, connecting again"); n > 0 {
		t.Error("the session was lost")
	}

	d.clear()
	late.waitLog("connected to the provider")
	j.use(t, second)
	j.waitLog("certificate renewed")
	invite(t, j.state[0], "other")
	j.on(t, "grant", "tester", "other")
	j.on(t, "certs", "renew")
	exchange(t, consumer, service)
	j.on(t, "revoke", "tester")
	seesReset(t, consumer)
	j.provider.waitLog("client is denied, ending its session")
}

// TestFullDiskOfAClient: it keeps its certificate, says why it did not renew it, and
// does when there is room.
func TestFullDiskOfAClient(t *testing.T) {
	d := newDisk(t)
	j := joinIn(t, t.TempDir()+"/provider", d.path+"/client", "backend")
	consumer, service := j.b.dial(t, j.entry)
	exchange(t, consumer, service)
	first, second := aged(t, j, 22), aged(t, j, 23)
	d.fill()
	j.use(t, first)
	before := hashes(t, j.state[1])
	j.waitLog("certificate not renewed, will try again", "no space left on device", j.state[1])
	unchanged(t, "a renewal", j.state[1], before)
	exchange(t, consumer, service)

	// A start does without room too.
	again := run(t, nil, "connect", j.provider.address(), "--state-dir", j.state[1], "--expose", freePort(t)+"=backend")
	again.waitLog("connected to the provider")
	again.signal(syscall.SIGTERM)
	again.exit()

	d.clear()
	j.use(t, second)
	j.waitLog("certificate renewed")
	exchange(t, consumer, service)
}
