package relay

import (
	"io"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	canSplice = true
	canPark   = true
)

// readQueue gives the number of bytes that the kernel holds for a reader
// (SIOCINQ, tcp(7)).
func readQueue(fd int) int {
	n, err := unix.IoctlGetInt(fd, unix.SIOCINQ)
	if err != nil {
		return 0
	}
	return n
}

// endOfFile says what a read of no bytes meant: io.EOF for a FIN, ECONNRESET
// for a reset.
//
// A reset is reported once, as sk_err, to whoever comes first. If that was a
// write, the read after it looks like a clean end (tcp_recvmsg finds
// RCV_SHUTDOWN set and no error). But then the socket is closed both ways
// without CloseWrite, which poll(2) shows as POLLHUP. POLLERR is a reset that
// came behind the FIN and that nobody has seen yet.
func (e *TCPEnd) endOfFile(fd int) error {
	revents := pollNow(fd)
	// Looked at after the poll, so that a hangup of our own is never taken for
	// the peer's.
	halfClosed := e.closedWrite.Load()
	if revents&unix.POLLERR != 0 || revents&unix.POLLHUP != 0 && !halfClosed {
		return syscall.ECONNRESET
	}
	return io.EOF
}

func pollNow(fd int) int16 {
	p := []unix.PollFd{{Fd: int32(fd)}}
	for {
		if _, err := unix.Poll(p, 0); err != unix.EINTR {
			return p[0].Revents
		}
	}
}

func (e *TCPEnd) checkEOF() error {
	err := io.EOF
	_ = e.raw.Control(func(fd uintptr) { err = e.endOfFile(int(fd)) })
	return err
}

// sendFIN is CloseWrite's part of the system.
func (e *TCPEnd) sendFIN() error {
	var failed syscall.Errno
	if err := e.raw.Control(func(fd uintptr) { failed = shutdownNow(fd) }); err != nil {
		return err
	}
	if failed != 0 {
		return os.NewSyscallError("shutdown", failed)
	}
	return nil
}

// beforeClose has close(2) deliver what was written, and sends the FIN already. It
// fails only on a socket that is closed or reset, which nobody asks any more.
func (e *TCPEnd) beforeClose() {
	_ = e.raw.Control(func(fd uintptr) {
		_ = lingerNow(fd)
		if !e.closedWrite.Load() {
			_ = shutdownNow(fd)
		}
	})
}

// cause takes the error that the kernel keeps for the next reader or writer, or
// nil. Only for an end that is about to be reset.
func (e *TCPEnd) cause() error {
	var err error
	_ = e.raw.Control(func(fd uintptr) {
		if n, _ := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_ERROR); n != 0 {
			err = syscall.Errno(n)
		}
	})
	return err
}

// Progress gives the bytes that the peer has acknowledged (tcpi_bytes_acked).
func (e *TCPEnd) Progress() int64 {
	var acked int64
	_ = e.raw.Control(func(fd uintptr) {
		if info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO); err == nil {
			acked = int64(info.Bytes_acked)
		}
	})
	return acked
}

// drain waits until the peer's kernel has acknowledged every byte: a reset
// discards what is in the send queue, but not what the peer's kernel has
// (SO_LINGER with 0, socket(7)). It gives up when nothing was acknowledged for
// the time given, or when the peer is gone.
func (e *TCPEnd) drain(stall time.Duration) {
	left := e.writeQueue()
	since := time.Now()
	for pause := 100 * time.Microsecond; left > 0 && !e.isAborted() && time.Since(since) < stall; {
		time.Sleep(pause) // nothing tells when a send queue is empty
		if now := e.writeQueue(); now != left {
			left, since = now, time.Now()
		}
		pause = min(2*pause, 10*time.Millisecond)
	}
}

// writeQueue gives the number of bytes not acknowledged yet (SIOCOUTQ, tcp(7)).
func (e *TCPEnd) writeQueue() int {
	n := 0
	_ = e.raw.Control(func(fd uintptr) {
		if q, err := unix.IoctlGetInt(int(fd), unix.SIOCOUTQ); err == nil {
			n = q
		}
	})
	return n
}
