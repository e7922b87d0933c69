package integration

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// newEcho is a backend that sends back what it gets, and ends when its peer does.
func newEcho(t *testing.T) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	serveEcho(t, l)
	return l.Addr().String()
}

func serveEcho(t *testing.T, l net.Listener) {
	var mu sync.Mutex
	open := map[net.Conn]bool{}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			c, err := l.Accept()
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err != nil {
				t.Error("backend:", err)
				return
			}
			mu.Lock()
			open[c] = true
			mu.Unlock()
			running.Go(func() {
				// Not by splice(2), which would hold two descriptors more for each.
				if _, err := io.CopyBuffer(struct{ io.Writer }{c}, struct{ io.Reader }{c}, make([]byte, 4<<10)); err == nil {
					c.(*net.TCPConn).CloseWrite()
				}
				c.Close()
				mu.Lock()
				delete(open, c)
				mu.Unlock()
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		mu.Lock()
		for c := range open {
			c.Close()
		}
		mu.Unlock()
		running.Wait()
	})
}

// visit is one short connection through an echo: it sends words, ends, and expects
// the same words and an end.
func visit(entry string, words []byte) error {
	c, err := net.DialTimeout("tcp", entry, patience)
	if err != nil {
		return err
	}
	defer c.Close()
	if _, err := c.Write(words); err != nil {
		return err
	}
	if err := c.(*net.TCPConn).CloseWrite(); err != nil {
		return err
	}
	got, err := readAll(c.(*net.TCPConn), patience)
	if err != nil || !bytes.Equal(got, words) {
		return fmt.Errorf("%d bytes of %d came back, then %w", len(got), len(words), cmpError(err, errOtherBytes))
	}
	return nil
}

var errOtherBytes = errors.New("a clean end")

func cmpError(err, or error) error {
	if err == nil {
		return or
	}
	return err
}

// load are consumers that come one after the other through an echo until stop.
type load struct {
	served atomic.Int64
	mu     sync.Mutex
	errs   []error
	over   chan struct{}
	all    sync.WaitGroup
}

func startLoad(entry string, consumers int) *load {
	l := &load{over: make(chan struct{})}
	for range consumers {
		l.all.Go(func() {
			for {
				select {
				case <-l.over:
					return
				default:
				}
				if err := visit(entry, random(2000)); err != nil {
					l.mu.Lock()
					l.errs = append(l.errs, err)
					l.mu.Unlock()
				}
				l.served.Add(1)
			}
		})
	}
	return l
}

// more waits until n more were served.
func (l *load) more(t *testing.T, n int64) {
	t.Helper()
	want := l.served.Load() + n
	within(t, patience, func() bool { return l.served.Load() >= want })
}

// stop ends the load and returns what failed.
func (l *load) stop() []error {
	close(l.over)
	l.all.Wait()
	return l.errs
}

// noErrors fails the test for the errors of a load.
func noErrors(t *testing.T, l *load) {
	t.Helper()
	if errs := l.stop(); len(errs) > 0 {
		t.Errorf("%d of %d consumers failed, such as: %v", len(errs), l.served.Load(), errs[0])
	}
}

// steady is a consumer that stays, and says a word every few milliseconds.
type steady struct {
	conn *net.TCPConn
	over chan struct{}
	err  chan error
	said atomic.Int64
}

func startSteady(t *testing.T, entry string) *steady {
	t.Helper()
	c, err := net.DialTimeout("tcp", entry, patience)
	if err != nil {
		t.Fatal(err)
	}
	s := &steady{conn: c.(*net.TCPConn), over: make(chan struct{}), err: make(chan error, 1)}
	go func() { s.err <- s.talk() }()
	t.Cleanup(func() { c.Close() })
	return s
}

func (s *steady) talk() error {
	pace := time.NewTicker(5 * time.Millisecond)
	defer pace.Stop()
	buf := make([]byte, 64)
	for {
		select {
		case <-s.over:
			s.conn.CloseWrite()
			if rest, err := readAll(s.conn, patience); err != nil || len(rest) > 0 {
				return fmt.Errorf("%d bytes, %w; want a clean end", len(rest), cmpError(err, errOtherBytes))
			}
			return nil
		case <-pace.C:
		}
		word := random(len(buf))
		s.conn.SetDeadline(time.Now().Add(patience))
		if _, err := s.conn.Write(word); err != nil {
			return err
		}
		if _, err := io.ReadFull(s.conn, buf); err != nil {
			return err
		}
		if !bytes.Equal(buf, word) {
			return errors.New("another word came back")
		}
		s.said.Add(1)
	}
}

// finish ends it in good order, and returns what went wrong.
func (s *steady) finish() error {
	close(s.over)
	return <-s.err
}
