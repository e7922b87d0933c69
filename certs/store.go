package certs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// maxFile bounds what is read of any file, in bytes. A CA bundle of all public
// roots is 0.3 MB.
const maxFile = 1 << 20

const (
	dirMode  fs.FileMode = 0o700
	keyMode  fs.FileMode = 0o600
	certMode fs.FileMode = 0o644
)

// readFile reads a file that need not be secret.
func readFile(path string) ([]byte, error) { return read(path, false) }

// readSecret reads a file that must be its owner's only.
func readSecret(path string) ([]byte, error) { return read(path, true) }

func read(path string, secret bool) ([]byte, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &FileError{File: path, Problem: "does not exist", Err: errors.Join(ErrMissing, fs.ErrNotExist)}
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat() // of what is open: the name may change hands meanwhile
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, malformed(path, errors.New("not a regular file"), "")
	}
	if secret {
		if err := checkMode(path, info); err != nil {
			return nil, err
		}
	}
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxFile {
		return nil, malformed(path, fmt.Errorf("larger than %d bytes", maxFile), "")
	}
	return data, nil
}

// checkDir refuses a directory that others can look into. A directory that does
// not exist is ErrMissing.
func checkDir(dir string) error {
	info, err := os.Stat(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return &FileError{File: dir, Problem: "does not exist", Err: errors.Join(ErrMissing, fs.ErrNotExist)}
	}
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return malformed(dir, errors.New("not a directory"), "")
	}
	return checkMode(dir, info)
}

// makeDir makes a directory that is its owner's only. An existing one must be
// so, or empty and ours: then it is made so, as nobody can have a use of it
// that this would end (a plain mkdir, or a new volume).
func makeDir(dir string) error {
	info, err := os.Stat(dir)
	if errors.Is(err, fs.ErrNotExist) {
		if err := os.MkdirAll(dir, dirMode); err != nil {
			return err
		}
		return syncDir(filepath.Dir(dir))
	}
	if err != nil {
		return err
	}
	refused := checkDir(dir)
	if !errors.Is(refused, ErrMode) {
		return refused
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) > 0 || os.Chmod(dir, info.Mode().Perm()&dirMode) != nil {
		return refused
	}
	return checkDir(dir)
}

// makeSubdir is makeDir for a directory in a state directory.
func makeSubdir(dir string) error {
	_, err := os.Stat(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return errors.Join(makeDir(dir), giveDir(dir))
	}
	return makeDir(dir)
}

// giveDir is giveToOwner for a new directory.
func giveDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(giveToOwner(f, filepath.Dir(dir)), f.Close())
}

// temporary is what the names of unfinished files and directories hold; see
// sweep.
const temporary = ".unfinished-"

// replaceFile puts data under a name, as a whole or not at all: whoever reads
// the name, now or after a crash, sees the old content or the new.
func replaceFile(path string, data []byte, mode fs.FileMode) error {
	dir := filepath.Dir(path)
	// CreateTemp's 0600 holds until the content is there.
	f, err := os.CreateTemp(dir, filepath.Base(path)+temporary)
	if err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	if err := errors.Join(fill(f, data, mode), giveToOwner(f, dir), f.Close()); err != nil {
		return fmt.Errorf("writing %s: %w", path, errors.Join(err, os.Remove(f.Name())))
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return fmt.Errorf("writing %s: %w", path, errors.Join(err, os.Remove(f.Name())))
	}
	return syncDir(dir)
}

func fill(f *os.File, data []byte, mode fs.FileMode) error {
	if _, err := f.Write(data); err != nil {
		return err
	}
	if err := f.Chmod(mode); err != nil {
		return err
	}
	// Without it a crash may leave the new name with no content: rename(2)
	// orders names, not data.
	return f.Sync()
}

// sweep removes what a crash left unfinished in a directory. Its caller holds
// the directory's lock, so nobody is at work on it.
func sweep(dir string) error {
	entries, err := os.ReadDir(dir)
	errs := []error{err}
	for _, e := range entries {
		if strings.Contains(e.Name(), temporary) {
			errs = append(errs, os.RemoveAll(filepath.Join(dir, e.Name())))
		}
	}
	return errors.Join(errs...)
}
