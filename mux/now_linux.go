package mux

import (
	"syscall"
	"unsafe"
)

// readNow and writeNow are read(2) and write(2) on a socket that never blocks, as
// system calls that the Go runtime does not see. For the others it expects the
// worst: it wakes its monitor thread for each request of an idle process, and
// takes the processor away from a long copy. redis-benchmark GET with one
// connection did 5.2 context switches a request at each ambassador with them and
// 2.1 without, and 1.6 times as many requests came through.

func readNow(fd uintptr, b []byte) (int, syscall.Errno) { return call(syscall.SYS_READ, fd, b) }

func writeNow(fd uintptr, b []byte) (int, syscall.Errno) { return call(syscall.SYS_WRITE, fd, b) }

// call is for a b that is not empty.
func call(number, fd uintptr, b []byte) (int, syscall.Errno) {
	for {
		n, _, err := syscall.RawSyscall(number, fd, uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)))
		if err != syscall.EINTR {
			return int(n), err
		}
	}
}
