package integration

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// cycles is how often TestCyclesLeaveNothing opens, uses and ends a connection:
// AMBASSADOR_CYCLES=1000000 is a day's worth, and takes some minutes.
func cycles(t *testing.T) int {
	t.Helper()
	text := os.Getenv("AMBASSADOR_CYCLES")
	if text == "" {
		return 4000
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("AMBASSADOR_CYCLES=%q: expected a number of cycles", text)
	}
	return n
}

// The ways in which a cycle ends, as the consumer asks for them with its first byte.
const (
	endInOrder          = iota // the consumer finishes, then the service
	serviceFinishes            // the service first
	consumerResets             // in the middle
	serviceResets              // in the middle
	consumerLeavesBytes        // it closes without having read
	resetAfterFinish           // the consumer finishes, then aborts
	endings
)

// TestCyclesLeaveNothing opens, uses and ends connections in all ways, and looks at
// what is left of them in both processes.
func TestCyclesLeaveNothing(t *testing.T) {
	addr, serviceErr := startCycled(t)
	p := startPair(t, addr, pairOptions{})
	n := cycles(t)
	spin := func(n int) {
		var next atomic.Int64
		var all sync.WaitGroup
		for range 16 {
			all.Go(func() {
				for i := next.Add(1); i <= int64(n); i = next.Add(1) {
					if err := cycle(p.entry, byte(i%endings)); err != nil {
						t.Errorf("cycle %d, ending %d: %v", i, i%endings, err)
						return
					}
				}
			})
		}
		all.Wait()
	}
	spin(1000) // pools and heap reach their size
	type state struct {
		fds      int
		resident int64
	}
	look := func(p *process) state { return state{p.descriptors(), p.resident()} }
	procs := map[string]*process{"client": p.client, "provider": p.provider}
	before := map[string]state{}
	for name, proc := range procs {
		settle(t, proc, 15)
		before[name] = look(proc)
	}
	spin(n)
	if err := serviceErr(); err != nil {
		t.Error("service: ", err)
	}
	for name, proc := range procs {
		settle(t, proc, before[name].fds)
		after := look(proc)
		if grown := after.resident - before[name].resident; grown > slack/3 {
			t.Errorf("%s: %d MiB more", name, grown>>20)
		}
		t.Logf("%s: %d descriptors and %d MiB before, %d and %d after %d cycles", name,
			before[name].fds, before[name].resident>>20, after.fds, after.resident>>20, n)
	}
	for name, proc := range procs {
		if got := proc.goroutines(); got > quietGoroutines {
			t.Errorf("%s: %d goroutines", name, got)
		}
	}
}

// settle waits until a process has no more descriptors than that.
func settle(t *testing.T, p *process, fds int) {
	t.Helper()
	eventually(t, patience, func() error {
		if now := p.descriptors(); now > fds {
			return fmt.Errorf("%d descriptors, want %d", now, fds)
		}
		return nil
	})
}

// cycle is one connection.
func cycle(entry string, ending byte) error {
	conn, err := net.DialTimeout("tcp", entry, patience)
	if err != nil {
		return err
	}
	c := conn.(*net.TCPConn)
	defer c.Close()
	c.SetDeadline(time.Now().Add(patience))
	words := random(3000)
	words[0] = ending
	if _, err := c.Write(words); err != nil {
		return err
	}
	if ending == consumerLeavesBytes {
		_, err := c.Read(make([]byte, 1)) // the rest has come, or is on its way
		return err
	}
	got := make([]byte, len(words))
	if _, err := io.ReadFull(c, got); err != nil {
		return err
	}
	if string(got) != string(words) {
		return errors.New("other bytes came back")
	}
	switch ending {
	case endInOrder:
		c.CloseWrite()
		return wantEnd(c)
	case serviceFinishes:
		return wantEnd(c)
	case consumerResets:
		abort(c)
	case serviceResets:
		if _, err := c.Read(make([]byte, 1)); !isReset(err) {
			return fmt.Errorf("%w, want a reset", cmpError(err, errOtherBytes))
		}
	case resetAfterFinish:
		c.CloseWrite()
		abort(c)
	}
	return nil
}

func wantEnd(c *net.TCPConn) error {
	if n, err := c.Read(make([]byte, 1)); err != io.EOF {
		return fmt.Errorf("%d bytes, %w; want a clean end", n, err)
	}
	return nil
}

// startCycled is the service of the cycles. What it returns says what went wrong
// there.
func startCycled(t *testing.T) (addr string, failed func() error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	var bad atomic.Pointer[error]
	running.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			running.Go(func() {
				defer c.Close()
				if err := serveCycle(c.(*net.TCPConn)); err != nil {
					bad.CompareAndSwap(nil, &err)
				}
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		running.Wait()
	})
	return l.Addr().String(), func() error {
		if e := bad.Load(); e != nil {
			return *e
		}
		return nil
	}
}

func serveCycle(c *net.TCPConn) error {
	c.SetDeadline(time.Now().Add(2 * patience))
	words := make([]byte, 3000)
	if _, err := io.ReadFull(c, words); err != nil {
		return err
	}
	if _, err := c.Write(words); err != nil {
		return err
	}
	switch words[0] {
	case endInOrder:
		return wantEnd(c)
	case serviceFinishes:
		c.CloseWrite()
		return wantEnd(c)
	case serviceResets:
		// The reply has to be out first: a reset throws away what has not left.
		awaitPeer(c)
		abort(c)
	case consumerResets, consumerLeavesBytes:
		if _, err := c.Read(make([]byte, 1)); !isReset(err) {
			return fmt.Errorf("ending %d: %w, want a reset", words[0], cmpError(err, errOtherBytes))
		}
	case resetAfterFinish:
		for {
			_, err := c.Read(make([]byte, 1))
			if isReset(err) {
				return nil
			}
			if err != io.EOF {
				return fmt.Errorf("%w, want the end or a reset", cmpError(err, errOtherBytes))
			}
			if _, err := c.Write([]byte("x")); isReset(err) {
				return nil
			}
			<-time.After(5 * time.Millisecond)
		}
	}
	return nil
}
