//go:build unix

package certs

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// What an operator does as root beside a provider with a user of its own is that
// user's afterwards.
func TestRootLeavesNothingThatTheOwnerCannotUse(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root writes into others' directories")
	}
	const owner = 65534
	ca := newCA(t, InitOptions{})
	all := func(do func(path string)) {
		t.Helper()
		err := filepath.WalkDir(ca.Dir(), func(path string, _ os.DirEntry, err error) error {
			if err == nil {
				do(path)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	all(func(path string) {
		if err := os.Chown(path, owner, owner); err != nil {
			t.Fatal(err)
		}
	})
	provider(t, ca)
	clientOf(t, ca, "web")
	invited(t, ca, "db", InviteOptions{})
	if err := ca.RenewNow(nil, true); err != nil {
		t.Fatal(err)
	}
	seen := 0
	all(func(path string) {
		seen++
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if st := info.Sys().(*syscall.Stat_t); st.Uid != owner || st.Gid != owner {
			t.Errorf("%s is %d:%d's", path, st.Uid, st.Gid)
		}
	})
	if seen < 14 {
		t.Errorf("only %d files were seen", seen)
	}
}
