package mux

import (
	"io"
	"net"
	"sync"
	"time"
)

// wireBuffer is the size in bytes of the buffers between TLS and the socket:
// eight full TLS records, so that a batch of bulk data costs one system call
// each way instead of eight.
const wireBuffer = 128 << 10

// wireBuffers holds buffers of wireBuffer bytes. A session borrows one while
// bytes are under way and none while it idles.
var wireBuffers = sync.Pool{New: func() any { return new([wireBuffer]byte) }}

// wire stands between tls.Conn and the socket. crypto/tls makes one Read for
// each part of a record and one Write for each record; wire joins them.
//
// Read is for one goroutine at a time, as crypto/tls's lock sees to. Write and
// flush are for any: crypto/tls writes from the reading goroutine too, alerts
// and what a peer's KeyUpdate asks for (RFC 8446 §4.6.3).
type wire struct {
	net.Conn
	raw *rawIO

	rbuf       *[wireBuffer]byte // nil while idle
	rpos, rend int
	ended      bool // the connection's end was read

	writing sync.Mutex
	corked  bool
	within  time.Duration     // in which the peer has to take what is flushed
	wbuf    *[wireBuffer]byte // nil while idle
	wend    int
}

func newWire(c net.Conn) *wire { return &wire{Conn: c, raw: newRawIO(c)} }

func (w *wire) Read(p []byte) (int, error) {
	if w.rbuf == nil {
		buf, n, err := w.raw.readSome(w.Conn)
		if err != nil {
			w.ended = w.ended || err == io.EOF
			return 0, err
		}
		w.rbuf, w.rpos, w.rend = buf, 0, n
	}
	n := copy(p, w.rbuf[w.rpos:w.rend])
	w.rpos += n
	if w.rpos == w.rend {
		wireBuffers.Put(w.rbuf)
		w.rbuf = nil
	}
	return n, nil
}

// cork makes Write gather until flush, whose batches the peer has to take within
// the time given. Before it is first called, as during the handshake, Write goes
// straight through.
func (w *wire) cork(within time.Duration) {
	w.writing.Lock()
	defer w.writing.Unlock()
	w.corked, w.within = true, within
}

// uncork sends what was gathered and makes Write go straight through again.
func (w *wire) uncork() error {
	w.writing.Lock()
	defer w.writing.Unlock()
	w.corked = false
	return w.flushLocked()
}

func (w *wire) Write(p []byte) (int, error) {
	w.writing.Lock()
	defer w.writing.Unlock()
	if !w.corked {
		return w.Conn.Write(p)
	}
	total := len(p)
	for len(p) > 0 {
		if w.wbuf == nil {
			w.wbuf = wireBuffers.Get().(*[wireBuffer]byte)
		}
		n := copy(w.wbuf[w.wend:], p)
		w.wend += n
		p = p[n:]
		if w.wend == wireBuffer {
			if err := w.flushLocked(); err != nil {
				return total - len(p), err
			}
		}
	}
	return total, nil
}

// flush sends what was gathered and gives the buffer back.
func (w *wire) flush() error {
	w.writing.Lock()
	defer w.writing.Unlock()
	return w.flushLocked()
}

func (w *wire) flushLocked() error {
	if w.wend == 0 {
		return nil
	}
	err := w.raw.writeAll(w.Conn, w.wbuf[:w.wend], w.within)
	wireBuffers.Put(w.wbuf)
	w.wbuf, w.wend = nil, 0
	return err
}

// closeWrite says that nothing more comes. Reading goes on.
func (w *wire) closeWrite() {
	if c, ok := w.Conn.(*net.TCPConn); ok {
		_ = c.CloseWrite() // fails on a connection that is over, which the reader tells
	}
}

// taken is the number of bytes that the peer's kernel has acknowledged, where that
// is known.
func (w *wire) taken() uint64 {
	if c, ok := w.Conn.(*net.TCPConn); ok {
		return acknowledged(c)
	}
	return 0
}

// blockingRead is for a connection whose readiness cannot be waited for, such
// as net.Pipe.
func blockingRead(c net.Conn) (*[wireBuffer]byte, int, error) {
	buf := wireBuffers.Get().(*[wireBuffer]byte)
	n, err := c.Read(buf[:])
	if n > 0 {
		return buf, n, nil // an error comes back at the next read
	}
	wireBuffers.Put(buf)
	return nil, 0, err
}

// blockingWrite waits for the peer, within the time given.
func blockingWrite(c net.Conn, b []byte, within time.Duration) error {
	if err := c.SetWriteDeadline(time.Now().Add(within)); err != nil {
		return err
	}
	if _, err := c.Write(b); err != nil {
		return err
	}
	return c.SetWriteDeadline(time.Time{}) // the next batch must not find this one's
}

// setSlow keeps little or much unsent in the socket. It fails only on a closed
// connection, which the next write tells.
func (w *wire) setSlow(slow bool) {
	c, ok := w.Conn.(*net.TCPConn)
	if !ok {
		return
	}
	if slow {
		_ = setUnsent(c, unsentSlow)
		return
	}
	_ = setUnsent(c, unsentFast)
}
