package certs

import (
	"io/fs"
	"os"
)

// checkMode cannot judge anything here: Windows has access lists, and Go makes
// a mode up from the read-only attribute. Files inherit the access list of the
// state directory's parent, which is the user's own by default.
func checkMode(string, fs.FileInfo) error { return nil }

// giveToOwner has nothing to do: files inherit the directory's access list.
func giveToOwner(*os.File, string) error { return nil }

// syncDir has nothing to do: Windows has no way to sync a directory, and NTFS
// journals renames.
func syncDir(string) error { return nil }
