//go:build !windows

package certs

import (
	"io/fs"
	"testing"
)

func TestWhoMayReadAKey(t *testing.T) {
	for _, tc := range []struct {
		name        string
		mode        fs.FileMode
		owner, self int
		loose       fs.FileMode
	}{
		{"ours", 0o600, 1000, 1000, 0},
		{"ours, with its group", 0o640, 1000, 1000, 0o040},
		{"ours, with others", 0o604, 1000, 1000, 0o004},
		{"root's, by our group", 0o440, 0, 1000, 0},
		{"root's, written by our group", 0o660, 0, 1000, 0o020},
		{"root's, with others", 0o444, 0, 1000, 0o004},
		{"root's, as root", 0o640, 0, 0, 0o040},
		{"somebody's, by our group", 0o640, 1001, 1000, 0o040},
		{"a directory of root's, by our group", fs.ModeDir | 0o750, 0, 1000, 0o050},
	} {
		if got := looseBits(tc.mode, tc.owner, tc.self); got != tc.loose {
			t.Errorf("%s: %o, want %o", tc.name, got, tc.loose)
		}
	}
}
