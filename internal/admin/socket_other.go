//go:build !unix

package admin

import (
	"net"
	"os"
)

func listenPrivate(path string) (*net.UnixListener, error) {
	return net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
}

// lockDir does nothing here: two processes that start at once may both believe
// that the socket is theirs.
func lockDir(string) (unlock func(), err error) { return func() {}, nil }

func isFull(err error) bool { return os.IsTimeout(err) }
