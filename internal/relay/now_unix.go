//go:build unix && !linux

package relay

import "syscall"

func readNow(fd uintptr, b []byte) (int, syscall.Errno) { return call(syscall.Read, fd, b) }

func writeNow(fd uintptr, b []byte) (int, syscall.Errno) { return call(syscall.Write, fd, b) }

func call(f func(int, []byte) (int, error), fd uintptr, b []byte) (int, syscall.Errno) {
	for {
		n, err := f(int(fd), b)
		errno, _ := err.(syscall.Errno)
		if errno != syscall.EINTR {
			return n, errno
		}
	}
}
