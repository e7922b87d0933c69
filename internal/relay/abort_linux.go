package relay

import (
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// aborts notices resets on connections that nobody reads: one epoll instance
// and one goroutine for the process.
//
// Each connection is registered for no events. EPOLLERR and EPOLLHUP are
// reported all the same (epoll_ctl(2)), and edge-triggered each is reported
// once. The goroutine is there only while connections are registered; the
// descriptor stays, since a later epoll_create could fail where descriptors
// have run out.
var aborts abortPoll

type abortPoll struct {
	mu      sync.Mutex
	file    *os.File // the epoll instance, known to Go's poller: waiting takes no thread
	fd      int
	raw     syscall.RawConn
	running bool
	last    uint64
	ends    map[uint64]*TCPEnd // by a number that is never used twice, unlike descriptors
}

// watch registers e. Without descriptors left for the epoll instance a reset
// shows at the next read or write only. e.mu is held.
func (e *TCPEnd) watch() {
	if e.watchID == 0 {
		e.watchID = aborts.add(e)
	}
}

// unwatch undoes watch. e.mu is held.
func (e *TCPEnd) unwatch() {
	if e.watchID != 0 {
		aborts.remove(e)
		e.watchID = 0
	}
}

func (p *abortPoll) add(e *TCPEnd) (id uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.open() != nil {
		return 0
	}
	p.last++
	id = p.last
	p.ends[id] = e // before the registration, which may report at once
	var err error
	ctlErr := e.raw.Control(func(fd uintptr) {
		event := unix.EpollEvent{Events: unix.EPOLLET, Fd: int32(uint32(id)), Pad: int32(uint32(id >> 32))}
		err = unix.EpollCtl(p.fd, unix.EPOLL_CTL_ADD, int(fd), &event)
	})
	if ctlErr != nil || err != nil {
		delete(p.ends, id)
		return 0
	}
	if !p.running {
		p.running = true
		_ = p.file.SetReadDeadline(time.Time{})
		go p.run()
	}
	return id
}

// remove forgets an end. One that is being closed leaves the kernel's list by
// itself, and what it still reports until then has a number that nobody knows.
func (p *abortPoll) remove(e *TCPEnd) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.ends, e.watchID)
	if !e.closed {
		_ = e.raw.Control(func(fd uintptr) {
			_ = unix.EpollCtl(p.fd, unix.EPOLL_CTL_DEL, int(fd), nil)
		})
	}
	if len(p.ends) == 0 {
		_ = p.file.SetReadDeadline(time.Unix(1, 0)) // wakes run
	}
}

// open makes the epoll instance. mu is held.
func (p *abortPoll) open() error {
	if p.file != nil {
		return nil
	}
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return os.NewSyscallError("epoll_create1", err)
	}
	// Non-blocking, NewFile hands it to Go's poller: an epoll instance is
	// itself readable when it has events (epoll(7)).
	_ = unix.SetNonblock(fd, true)
	file := os.NewFile(uintptr(fd), "epoll")
	raw, err := file.SyscallConn()
	if err == nil {
		err = file.SetReadDeadline(time.Time{}) // fails if it is not pollable
	}
	if err != nil {
		_ = file.Close()
		return err
	}
	p.file, p.fd, p.raw = file, fd, raw
	p.ends = map[uint64]*TCPEnd{}
	return nil
}

// run reports events until nothing is registered.
func (p *abortPoll) run() {
	events := make([]unix.EpollEvent, 64)
	var n int
	wait := func(fd uintptr) bool {
		n, _ = unix.EpollWait(int(fd), events, 0)
		return n > 0
	}
	for {
		if err := p.raw.Read(wait); err != nil {
			if p.idle() {
				return
			}
			continue
		}
		for i := range events[:n] {
			p.report(&events[i])
		}
	}
}

// idle decides, when run was woken, whether it ends.
func (p *abortPoll) idle() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.ends) > 0 {
		_ = p.file.SetReadDeadline(time.Time{})
		return false
	}
	p.running = false
	return true
}

// report judges one event. EPOLLERR: an error waits for the next reader or
// writer, so the peer aborted. EPOLLHUP alone: both directions are shut down,
// which is in order if we did our half, and otherwise a reset whose error a
// writer has taken already. SO_ERROR is not looked at: that would take it too,
// and a reader would then see a clean end.
func (p *abortPoll) report(event *unix.EpollEvent) {
	id := uint64(uint32(event.Fd)) | uint64(uint32(event.Pad))<<32
	p.mu.Lock()
	e := p.ends[id]
	p.mu.Unlock()
	if e == nil {
		return
	}
	if event.Events&unix.EPOLLERR != 0 || event.Events&unix.EPOLLHUP != 0 && !e.closedWrite.Load() {
		e.aborted()
	}
}
