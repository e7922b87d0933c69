package integration

import (
	"errors"
	"io"
	"net"
	"sync"
	"syscall"
	"testing"
	"time"
)

// backend hands every connection that it accepts to the test.
type backend struct {
	addr  string
	conns chan *net.TCPConn
}

func newBackend(t *testing.T) *backend {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := &backend{addr: l.Addr().String(), conns: make(chan *net.TCPConn, 64)}
	var done sync.WaitGroup
	done.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			b.conns <- c.(*net.TCPConn)
		}
	})
	t.Cleanup(func() {
		l.Close()
		done.Wait()
	})
	return b
}

// dial connects a consumer to addr and returns both ends of the way.
func (b *backend) dial(t *testing.T, addr string) (consumer, service *net.TCPConn) {
	t.Helper()
	c, err := net.DialTimeout("tcp", addr, patience)
	if err != nil {
		t.Fatal("consumer:", err)
	}
	// A backend is dialled for a consumer at once, also before it says anything.
	select {
	case service = <-b.conns:
	case <-time.After(patience):
		t.Fatal("the backend was not dialled")
	}
	consumer = c.(*net.TCPConn)
	t.Cleanup(func() {
		consumer.Close()
		service.Close()
	})
	return consumer, service
}

// isReset says whether err is what a socket gives after RST.
func isReset(err error) bool {
	return errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// readAll reads to the end, within limit, and returns what ended it: nil for
// FIN.
func readAll(c *net.TCPConn, limit time.Duration) ([]byte, error) {
	c.SetReadDeadline(time.Now().Add(limit))
	return io.ReadAll(c)
}
