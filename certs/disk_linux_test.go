package certs

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

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
