package integration

import (
	"io"
	"net"
	"sync"
	"testing"
)

// carrier is the path between a client and a provider: a TCP proxy that can be
// cut, or can swallow everything as a path that drops all packets does.
type carrier struct {
	t        *testing.T
	listener net.Listener
	to       string

	mu      sync.Mutex
	links   map[*net.TCPConn]*net.TCPConn
	swallow chan struct{} // closed while bytes are swallowed
	refuse  bool
	running sync.WaitGroup
}

func newCarrier(t *testing.T, to string) *carrier {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &carrier{t: t, listener: l, to: to, links: map[*net.TCPConn]*net.TCPConn{}, swallow: make(chan struct{})}
	c.running.Go(c.accept)
	t.Cleanup(func() {
		l.Close()
		c.cut()
		c.running.Wait()
	})
	return c
}

func (c *carrier) addr() string { return c.listener.Addr().String() }

func (c *carrier) accept() {
	for {
		in, err := c.listener.Accept()
		if err != nil {
			return
		}
		out, err := net.Dial("tcp", c.to)
		c.mu.Lock()
		if err != nil || c.refuse {
			abort(in)
			if err == nil {
				abort(out)
			}
			c.mu.Unlock()
			continue
		}
		a, b := in.(*net.TCPConn), out.(*net.TCPConn)
		c.links[a] = b
		c.running.Go(func() { c.pump(a, b) })
		c.running.Go(func() { c.pump(b, a) })
		c.mu.Unlock()
	}
}

func (c *carrier) pump(dst, src *net.TCPConn) {
	buf := make([]byte, 64<<10)
	for {
		n, err := src.Read(buf)
		select {
		case <-c.swallow:
			if err == nil {
				continue
			}
			return // the end is swallowed too
		default:
		}
		if n > 0 {
			if _, werr := dst.Write(buf[:n]); werr != nil {
				abort(src)
				return
			}
		}
		if err == io.EOF {
			dst.CloseWrite()
			return
		}
		if err != nil {
			abort(dst)
			return
		}
	}
}

// cut resets every connection of the carrier; new ones pass.
func (c *carrier) cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for a, b := range c.links {
		abort(a)
		abort(b)
	}
	clear(c.links)
}

// setRefuse makes the carrier reset new connections, or stop doing so.
func (c *carrier) setRefuse(refuse bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.refuse = refuse
}

// abort closes a connection with RST.
func abort(c net.Conn) {
	c.(*net.TCPConn).SetLinger(0)
	c.Close()
}
