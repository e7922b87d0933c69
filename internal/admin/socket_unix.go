//go:build unix

package admin

import (
	"context"
	"errors"
	"net"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// listenPrivate opens a socket that has the mode 0600 from its first moment on:
// Linux gives the file the mode of the socket before it is bound, whatever the
// umask.
func listenPrivate(path string) (*net.UnixListener, error) {
	lc := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
		var mode error
		return errors.Join(raw.Control(func(fd uintptr) { mode = unix.Fchmod(int(fd), 0o600) }), ignoreInvalid(mode))
	}}
	l, err := lc.Listen(context.Background(), "unix", path)
	if err != nil {
		return nil, err
	}
	// Elsewhere fchmod does nothing to a socket.
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l.(*net.UnixListener), nil
}

// ignoreInvalid: some systems have no fchmod for sockets, and say so.
func ignoreInvalid(err error) error {
	if errors.Is(err, unix.EINVAL) {
		return nil
	}
	return err
}

// lockDir keeps other processes from changing the sockets of a directory, until
// unlock. It is held for moments.
func lockDir(dir string) (unlock func(), err error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	for {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	if err != nil && !errors.Is(err, unix.EOPNOTSUPP) && !errors.Is(err, unix.ENOLCK) && !errors.Is(err, unix.EBADF) {
		return nil, errors.Join(err, f.Close())
	}
	return func() { f.Close() }, nil // some file systems have no locks: then without
}

// isFull is true when somebody listens on a socket and does not come to accept.
func isFull(err error) bool { return errors.Is(err, unix.EAGAIN) || os.IsTimeout(err) }
