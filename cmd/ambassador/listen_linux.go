package main

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// setReusePort lets several sockets of one user listen on one port (socket(7)).
func setReusePort(fd uintptr) error {
	return os.NewSyscallError("setsockopt", unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1))
}

// isListening says no for what is no listening socket. Where none was passed, the
// descriptor may be one of the Go runtime's own.
func isListening(fd uintptr) error {
	n, err := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_ACCEPTCONN)
	if err == nil && n == 0 {
		err = errors.New("it does not listen")
	}
	return err
}
