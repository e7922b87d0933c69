package admin

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"time"
)

// Why there is no control socket.
var (
	// ErrTaken: another ambassador answers on it.
	ErrTaken = errors.New("another ambassador answers on it")
	// ErrPath: the path cannot be that of a socket.
	ErrPath = errors.New("it cannot be a socket's path")
)

// maxSocketPath is what fits sun_path with its last zero (unix(7)): 108 bytes on
// Linux, 104 elsewhere.
var maxSocketPath = sunPath(runtime.GOOS) - 1

func sunPath(system string) int {
	if system == "linux" {
		return 108
	}
	return 104
}

// newSuffix is behind the path of a socket until it is ready.
const newSuffix = ".new"

// probeTimeout bounds the question whether somebody answers on a socket.
const probeTimeout = time.Second

// socket is a listening control socket.
type socket struct {
	*net.UnixListener
	path string
	made fs.FileInfo // our own file, which another process may have replaced

	once sync.Once
	err  error
}

// Listen opens a control socket at a path, for its own user alone. A file that a
// dead process left there is replaced. One on which somebody answers is ErrTaken,
// but with takeOver, for a process that is to take the place of the other: then
// the path leads to the new one, and what is connected to the old one stays.
//
// Close removes the file, unless another process has taken the path over since.
func Listen(path string, takeOver bool) (net.Listener, error) {
	if err := CheckPath(path); err != nil {
		return nil, err
	}
	if err := makeDir(filepath.Dir(path)); err != nil {
		return nil, err
	}
	// Of several processes that find a dead one's file, one replaces it.
	unlock, err := lockDir(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	defer unlock()
	if err := mayReplace(path, takeOver); err != nil {
		return nil, err
	}
	return open(path)
}

// makeDir makes a socket's directory, and none above it: a path that was written
// wrongly is not to leave a tree of them.
func makeDir(dir string) error {
	err := os.Mkdir(dir, 0o700)
	switch {
	case errors.Is(err, fs.ErrExist):
		return nil
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%w: there is no directory %s: make it, or choose another path with --control-socket", ErrPath, filepath.Dir(dir))
	}
	return err
}

// CheckPath says whether a path is short enough for a control socket, else ErrPath.
func CheckPath(path string) error {
	if path, err := filepath.Abs(path); err != nil || len(path)+len(newSuffix) > maxSocketPath {
		return fmt.Errorf("%w: %s has %d bytes, and %d are the most (sun_path, unix(7)): choose a shorter one with --control-socket",
			ErrPath, path, len(path), maxSocketPath-len(newSuffix))
	}
	return nil
}

// mayReplace says what is in the way of a socket.
func mayReplace(path string, takeOver bool) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Mode().Type() != fs.ModeSocket:
		return fmt.Errorf("%w: %s is there and is no socket: remove it, or choose another with --control-socket", ErrPath, path)
	case takeOver:
		return nil
	}
	c, err := net.DialTimeout("unix", path, probeTimeout)
	if err != nil {
		// Nobody listens. A queue that is full is somebody's, and so is what we
		// may not connect to (connect(2)).
		if isFull(err) || errors.Is(err, fs.ErrPermission) {
			return fmt.Errorf("%s: %w", path, ErrTaken)
		}
		return nil
	}
	return errors.Join(fmt.Errorf("%s: %w", path, ErrTaken), c.Close())
}

// open makes the socket beside its path and moves it there: whoever finds it can
// connect to it.
func open(path string) (net.Listener, error) {
	fresh := path + newSuffix
	if err := os.Remove(fresh); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	l, err := listenPrivate(fresh)
	if err != nil {
		return nil, err
	}
	l.SetUnlinkOnClose(false) // by a name that it has no longer
	s := &socket{UnixListener: l, path: path}
	if s.made, err = os.Lstat(fresh); err == nil {
		err = os.Rename(fresh, path)
	}
	if err != nil {
		return nil, errors.Join(err, l.Close(), os.Remove(fresh))
	}
	return s, nil
}

// Addr is the path, and not the name that it was made under.
func (s *socket) Addr() net.Addr { return &net.UnixAddr{Name: s.path, Net: "unix"} }

// Close removes the file if it is still ours, and closes the socket.
func (s *socket) Close() error {
	s.once.Do(func() {
		// The number of our own file is not given away while the socket is open.
		if unlock, err := lockDir(filepath.Dir(s.path)); err == nil {
			if now, err := os.Lstat(s.path); err == nil && os.SameFile(s.made, now) {
				s.err = os.Remove(s.path)
			}
			unlock()
		}
		s.err = errors.Join(s.err, s.UnixListener.Close())
	})
	return s.err
}
