package relay

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// keepAlive finds a vanished consumer or backend after two minutes of silence.
// The first probe comes early enough to keep a connection alive in a cloud
// balancer or NAT that forgets after 4 minutes of silence, the shortest default
// in common use.
var keepAlive = net.KeepAliveConfig{
	Enable:   true,
	Idle:     75 * time.Second,
	Interval: 15 * time.Second,
	Count:    3,
}

// TCPEnd is a TCP connection as an [End]. Make it with [TCP].
//
// What it can tell depends on the system:
//
//	                                     Linux   elsewhere
//	a reset while nobody reads           <0.1 s  at the next read or write
//	bytes waiting in the send queue      sent    discarded
//	when a relay resets this end
//	bulk between two TCP ends            splice  read and write
type TCPEnd struct {
	conn *net.TCPConn
	raw  syscall.RawConn

	writing     writing
	closedWrite atomic.Bool // CloseWrite was called

	mu       sync.Mutex
	closed   bool
	abortErr error          // the peer aborted
	onAbort  []*func(error) // by AfterAbort
	watchID  uint64         // in watched, 0 if not there (Linux)
	parked   func()         // to be called when there is something to read, nil if nobody is parked
}

// TCP makes an end of c and owns it from then on. It sets a keepalive of its own;
// a listener or dialer that sets one too does so in vain.
func TCP(c *net.TCPConn) *TCPEnd {
	// A process that is killed, or panics, has its sockets closed by the kernel: with
	// a FIN, as if all had been said. With this it is an RST (SO_LINGER, socket(7)).
	_ = c.SetLinger(0) // fails on a closed connection, which the first read tells
	raw, err := c.SyscallConn()
	if err != nil {
		raw = closedConn{err} // which the first read tells better
	}
	e := &TCPEnd{conn: c, raw: raw}
	newcomers.add(e)
	return e
}

// closedConn stands in for a connection that gives no descriptor.
type closedConn struct{ err error }

func (c closedConn) Control(func(uintptr)) error    { return c.err }
func (c closedConn) Read(func(uintptr) bool) error  { return c.err }
func (c closedConn) Write(func(uintptr) bool) error { return c.err }

// Conn gives the connection, for its addresses.
func (e *TCPEnd) Conn() *net.TCPConn { return e.conn }

// Read reads like net.Conn, but io.EOF is only ever a peer's FIN.
func (e *TCPEnd) Read(b []byte) (int, error) {
	n, err := e.conn.Read(b)
	if err == io.EOF {
		err = e.checkEOF()
	}
	return n, err
}

// CloseWrite sends FIN after every byte written.
func (e *TCPEnd) CloseWrite() error {
	e.closedWrite.Store(true)
	return e.sendFIN()
}

// Close ends both directions; the kernel still delivers what was written. As
// with any TCP socket, closing with bytes unread shows the peer a reset.
func (e *TCPEnd) Close() error { return e.close(false) }

// Reset sends RST at once and discards what is in the send queue, see TCP.
func (e *TCPEnd) Reset(reason string) { _ = e.close(true) }

func (e *TCPEnd) close(abort bool) error {
	e.mu.Lock()
	if e.closed {
		e.mu.Unlock()
		return nil
	}
	e.closed = true
	e.unwatch()
	parked := e.parked
	e.parked = nil
	e.mu.Unlock()
	if !abort {
		e.beforeClose()
	}
	err := e.conn.Close()
	if parked != nil {
		go parked() // its read tells
	}
	return err
}

// AfterAbort is described at [End]. The error is [ErrPeerAborted]: the kernel
// gives the true one only once, and the reader needs it.
func (e *TCPEnd) AfterAbort(f func(error)) (stop func() bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.abortErr != nil {
		go f(e.abortErr)
		return func() bool { return false }
	}
	e.onAbort = append(e.onAbort, &f)
	return func() bool { return e.forget(&f) }
}

func (e *TCPEnd) forget(f *func(error)) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	for i, g := range e.onAbort {
		if f == g {
			e.onAbort = append(e.onAbort[:i], e.onAbort[i+1:]...)
			return true
		}
	}
	return false
}

// aborted runs what AfterAbort was given.
func (e *TCPEnd) aborted() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed || e.abortErr != nil {
		return
	}
	e.abortErr = ErrPeerAborted
	for _, f := range e.onAbort {
		go (*f)(e.abortErr)
	}
	e.onAbort = nil
}

func (e *TCPEnd) isAborted() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.abortErr != nil
}
