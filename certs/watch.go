package certs

import (
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// Watch tells when files or directories have changed. It looks at what their
// paths lead to at the moment, so that a name that is moved to other content is
// a change too: a rename over it, or the symbolic links that Kubernetes swaps
// for a mounted Secret. Looking costs one system call a path and works where
// notification does not, as on network file systems and on a host's directory
// mounted into a virtual machine. It is for one goroutine.
type Watch struct {
	paths []string
	seen  []fs.FileInfo // nil for what did not exist
}

// young is an age in which a file may change once more without a trace: file
// systems keep times in steps of up to 2 s (FAT), on Linux mostly of 4 ms.
const young = 2 * time.Second

// NewWatch starts from the files as they are now.
func NewWatch(paths ...string) *Watch {
	w := &Watch{paths: paths, seen: make([]fs.FileInfo, len(paths))}
	w.Changed()
	return w
}

// Changed says whether anything may have changed since the last call. It says so
// for two seconds rather than miss a change.
func (w *Watch) Changed() bool {
	changed := false
	for i, path := range w.paths {
		info, err := os.Stat(path)
		if err != nil {
			info = nil
		}
		changed = differs(w.seen[i], info) || changed
		w.seen[i] = info
	}
	return changed
}

func differs(old, now fs.FileInfo) bool {
	if old == nil || now == nil {
		return old != now
	}
	age := time.Since(now.ModTime())
	return !os.SameFile(old, now) || !old.ModTime().Equal(now.ModTime()) || old.Size() != now.Size() ||
		old.Mode() != now.Mode() || -young < age && age < young
}

// Paths are the files themselves, for a [Watch].
func (f Files) Paths() []string { return []string{f.Cert, f.Key, f.CA} }

// GrantsPath is the directory whose files are the clients' records: it changes
// with each of them, for a [Watch].
func (ca *CA) GrantsPath() string { return filepath.Join(ca.dir, clientsDir) }
