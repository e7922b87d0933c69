package relay

import (
	"cmp"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// watched are the connections of which a reset is to be noticed while nobody
// reads them, and those whose reader is parked: one epoll instance and one
// goroutine for the process.
//
// Each connection is registered for no events. EPOLLERR and EPOLLHUP are
// reported all the same (epoll_ctl(2)), and edge-triggered each is reported
// once. While its reader is parked bytes and a FIN are reported too. The goroutine
// is there only while connections are registered; the descriptor stays, since a
// later epoll_create could fail where descriptors have run out.
var watched watcher

type watcher struct {
	mu      sync.Mutex
	file    *os.File // the epoll instance, known to Go's poller: waiting takes no thread
	fd      int
	raw     syscall.RawConn
	running bool
	last    uint64
	ends    map[uint64]*TCPEnd // by a number that is never used twice, unlike descriptors
}

// Reserve makes now what all watching needs. A program that calls it when it starts
// can watch and park all connections that it gets, also when it has no descriptor
// left by then. If it fails, it is tried again with the first connection.
func Reserve() { watched.reserve() }

func (w *watcher) reserve() {
	w.mu.Lock()
	defer w.mu.Unlock()
	_ = w.open()
}

// watch registers e. Without descriptors left for the epoll instance a reset
// shows at the next read or write only. e.mu is held.
func (e *TCPEnd) watch() {
	if e.watchID == 0 {
		e.watchID = watched.add(e)
	}
}

// unwatch undoes watch. e.mu is held.
func (e *TCPEnd) unwatch() {
	if e.watchID != 0 {
		watched.remove(e)
		e.watchID = 0
	}
}

func (w *watcher) add(e *TCPEnd) (id uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.open() != nil {
		return 0
	}
	w.last++
	id = w.last
	w.ends[id] = e // before the registration, which may report at once
	if w.control(e, id, unix.EPOLL_CTL_ADD, 0) != nil {
		delete(w.ends, id)
		return 0
	}
	if !w.running {
		w.running = true
		_ = w.file.SetReadDeadline(time.Time{})
		go w.run()
	}
	return id
}

// control adds an end, or changes what is reported of it. A change reports anew
// what is the case already.
func (w *watcher) control(e *TCPEnd, id uint64, op int, events uint32) (err error) {
	event := unix.EpollEvent{Events: unix.EPOLLET | events, Fd: int32(uint32(id)), Pad: int32(uint32(id >> 32))}
	closed := e.raw.Control(func(fd uintptr) { err = unix.EpollCtl(w.fd, op, int(fd), &event) })
	return cmp.Or(closed, err)
}

// remove forgets an end that is being closed. It leaves the kernel's list by
// itself, and what it still reports until then has a number that nobody knows.
func (w *watcher) remove(e *TCPEnd) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.ends, e.watchID)
	if len(w.ends) == 0 {
		_ = w.file.SetReadDeadline(time.Unix(1, 0)) // wakes run
	}
}

// open makes the epoll instance. mu is held.
func (w *watcher) open() error {
	if w.file != nil {
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
	w.file, w.fd, w.raw = file, fd, raw
	w.ends = map[uint64]*TCPEnd{}
	return nil
}

// run reports events until nothing is registered.
func (w *watcher) run() {
	events := make([]unix.EpollEvent, 64)
	var n int
	wait := func(fd uintptr) bool {
		n, _ = unix.EpollWait(int(fd), events, 0)
		return n > 0
	}
	for {
		if err := w.raw.Read(wait); err != nil {
			if w.idle() {
				return
			}
			continue
		}
		for i := range events[:n] {
			w.report(&events[i])
		}
	}
}

// idle decides, when run was woken, whether it ends.
func (w *watcher) idle() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.ends) > 0 {
		_ = w.file.SetReadDeadline(time.Time{})
		return false
	}
	w.running = false
	return true
}

// report judges one event. EPOLLERR: an error waits for the next reader or
// writer, so the peer aborted. EPOLLHUP alone: both directions are shut down,
// which is in order if we did our half, and otherwise a reset whose error a
// writer has taken already. SO_ERROR is not looked at: that would take it too,
// and a reader would then see a clean end.
func (w *watcher) report(event *unix.EpollEvent) {
	id := uint64(uint32(event.Fd)) | uint64(uint32(event.Pad))<<32
	w.mu.Lock()
	e := w.ends[id]
	w.mu.Unlock()
	if e == nil {
		return
	}
	if event.Events&unix.EPOLLERR != 0 || event.Events&unix.EPOLLHUP != 0 && !e.closedWrite.Load() {
		e.aborted()
	}
	e.unpark()
}

// park has resume called, in a goroutine of its own, when there is something to
// read or the end is closed. It says no when that cannot be known.
func (e *TCPEnd) park(resume func()) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed || e.abortErr != nil {
		return false
	}
	if e.watch(); e.watchID == 0 {
		return false
	}
	e.parked = resume // before it may be reported
	if watched.control(e, e.watchID, unix.EPOLL_CTL_MOD, unix.EPOLLIN|unix.EPOLLRDHUP) != nil {
		e.parked = nil
		return false
	}
	return true
}

func (e *TCPEnd) unpark() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.parked == nil {
		return
	}
	// Bytes are the reader's again. It fails only on a connection that is closed
	// behind our back, which the reader will tell.
	_ = watched.control(e, e.watchID, unix.EPOLL_CTL_MOD, 0)
	go e.parked()
	e.parked = nil
}
