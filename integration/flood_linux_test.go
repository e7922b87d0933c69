package integration

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// goroutines ends a process by SIGQUIT and counts those in the dump that the Go
// runtime then writes.
func (p *process) goroutines() int {
	p.t.Helper()
	p.signal(syscall.SIGQUIT)
	select {
	case <-p.done:
	case <-time.After(patience):
		p.t.Fatal("SIGQUIT did not end it")
	}
	n := 0
	for line := range strings.Lines(p.log()) {
		if strings.HasPrefix(line, "goroutine ") && strings.Contains(line, "[") {
			n++
		}
	}
	if n == 0 {
		p.t.Fatal("no goroutine in the dump")
	}
	return n
}

// quietGoroutines is more than a provider or client with one idle session has.
const quietGoroutines = 30

// slack is by how much a process may have grown after a flood, in bytes: what the
// heap and the pools keep is given back slowly, and the race detector's shadow of
// it is ten times as large and never.
var slack = func() int64 {
	if raceEnabled {
		return 1 << 30
	}
	return 96 << 20
}()

// TestUnauthenticatedFlood: 500 silent connections and 500 with garbage keep nobody
// out and leave nothing.
func TestUnauthenticatedFlood(t *testing.T) {
	echo := newEcho(t)
	p := startPair(t, echo, pairOptions{})
	address := p.provider.address()
	stays := startSteady(t, p.entry)
	within(t, patience, func() bool { return stays.said.Load() > 10 })
	before, fds := p.provider.resident(), p.provider.descriptors()
	garbage := []string{
		"GET / HTTP/1.1\r\nHost: x\r\n\r\n", strings.Repeat("\x00\xff", 5000),
		"\x16\x03\x01\x40\x00\x01", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "*1\r\n$4\r\nPING\r\n",
	}
	var flood []net.Conn
	for i := range 1000 {
		c, err := net.DialTimeout("tcp", address, patience)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		flood = append(flood, c)
		if i%2 == 1 {
			io.WriteString(c, garbage[i/2%len(garbage)])
		}
	}
	began := time.Now()
	entry := "127.0.0.1:" + freePort(t)
	_, port, _ := net.SplitHostPort(echo)
	other := run(t, nil, "connect", address, "--state-dir", p.state, "--expose", entry+"=backend:"+port)
	other.waitLog("connected to the provider")
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("an enrolled client connected after %v, the start of its process counted", took)
	}
	if err := visit(entry, random(2000)); err != nil {
		t.Error("its consumer:", err)
	}
	if grown := p.provider.resident() - before; grown > slack {
		t.Errorf("the provider has %d MiB more under the flood", grown>>20)
	}
	for _, c := range flood {
		c.Close()
	}
	other.signal(syscall.SIGTERM)
	other.exit()
	eventually(t, patience, func() error {
		if now := p.provider.descriptors(); now > fds {
			return fmt.Errorf("%d descriptors, %d before", now, fds)
		}
		return nil
	})
	if err := stays.finish(); err != nil {
		t.Error("a consumer that was there before:", err)
	}
	if lines := p.provider.loud(); lines > 20 {
		t.Errorf("%d lines above debug", lines)
	}
	if grown := p.provider.resident() - before; grown > slack {
		t.Errorf("the provider has %d MiB more after the flood", grown>>20)
	}
	if n := p.provider.goroutines(); n > quietGoroutines {
		t.Errorf("%d goroutines", n)
	}
}

// loud is how many lines of the log are above debug.
func (p *process) loud() int {
	n := 0
	for line := range strings.Lines(p.log()) {
		if !strings.Contains(line, `"level":"debug"`) {
			n++
		}
	}
	return n
}

// crowd are consumers that all come at once and stay until leave.
type crowd struct {
	leaving chan struct{}
	all     sync.WaitGroup
	mu      sync.Mutex
	served  int
	reset   int
	other   []error
}

// startCrowd returns when each of n consumers has been served or not.
func startCrowd(entry string, n int) *crowd {
	c := &crowd{leaving: make(chan struct{})}
	var judged sync.WaitGroup
	for range n {
		judged.Add(1)
		c.all.Go(func() {
			conn, err := one(entry)
			c.mu.Lock()
			switch {
			case err == nil:
				c.served++
			case isReset(err):
				c.reset++
			default:
				c.other = append(c.other, err)
			}
			c.mu.Unlock()
			judged.Done()
			<-c.leaving
			if conn != nil {
				conn.Close()
			}
		})
	}
	judged.Wait()
	return c
}

// one is a consumer that gets a word back.
func one(entry string) (net.Conn, error) {
	c, err := net.DialTimeout("tcp", entry, 2*patience)
	if err != nil {
		return nil, err
	}
	c.SetDeadline(time.Now().Add(2 * patience))
	if _, err := c.Write([]byte("word")); err != nil {
		return c, err
	}
	buf := make([]byte, 4)
	if _, err := io.ReadFull(c, buf); err != nil {
		return c, err
	}
	if string(buf) != "word" {
		return c, errors.New("another word")
	}
	return c, nil
}

func (c *crowd) leave() {
	close(c.leaving)
	c.all.Wait()
}

func TestManyConsumersAtOnce(t *testing.T) {
	t.Run("5000", func(t *testing.T) {
		echo := newEcho(t)
		p := startPair(t, echo, pairOptions{})
		fds := map[*process]int{p.client: p.client.descriptors(), p.provider: p.provider.descriptors()}
		began := time.Now()
		c := startCrowd(p.entry, 5000)
		t.Logf("%d served, %d reset in %v", c.served, c.reset, time.Since(began))
		if len(c.other) > 0 {
			t.Errorf("%d were neither served nor reset, such as: %v", len(c.other), c.other[0])
		}
		if c.served != 5000 {
			t.Errorf("%d of 5000 are served, and no limit is near", c.served)
		}
		c.leave()
		for proc, before := range fds {
			eventually(t, patience, func() error {
				if now := proc.descriptors(); now > before+5 {
					return fmt.Errorf("%d descriptors, %d before", now, before)
				}
				return nil
			})
			if n := proc.goroutines(); n > quietGoroutines {
				t.Errorf("%d goroutines", n)
			}
		}
	})
	for _, limit := range []struct{ flag, says string }{
		{"--max-client-streams", "this client has 200"}, {"--max-streams", "all of its clients"},
	} {
		t.Run("over"+limit.flag, func(t *testing.T) {
			echo := newEcho(t)
			p := startPair(t, echo, pairOptions{serve: []string{limit.flag, "200"}})
			c := startCrowd(p.entry, 700)
			if c.served != 200 || c.reset != 500 || len(c.other) > 0 {
				t.Errorf("%d served, %d reset, others: %v; want 200, 500 and none", c.served, c.reset, c.other)
			}
			p.client.waitLog("consumer reset", "too many streams", limit.says)
			l := p.provider.waitLog("stream refused: too many streams")
			if "--"+fmt.Sprint(l["limit_name"]) != limit.flag || l["limit"] != 200.0 {
				t.Errorf("the log names %v %v", l["limit_name"], l["limit"])
			}
			if n := p.provider.loud(); n > 10 {
				t.Errorf("%d lines above debug", n)
			}
			c.leave()
			eventually(t, patience, func() error { return visit(p.entry, random(2000)) })
		})
	}
}

// TestUnauthenticatedFloodThatComesBack: strangers who dial again as soon as they are
// put out keep nobody out either.
func TestUnauthenticatedFloodThatComesBack(t *testing.T) {
	echo := newEcho(t)
	p := startPair(t, echo, pairOptions{})
	address := p.provider.address()
	over := make(chan struct{})
	var flood sync.WaitGroup
	for range 500 {
		flood.Go(func() {
			for {
				c, err := net.DialTimeout("tcp", address, patience)
				if err != nil {
					continue
				}
				gone := make(chan struct{})
				go func() { io.Copy(io.Discard, c); close(gone) }()
				select {
				case <-gone:
					c.Close()
				case <-over:
					c.Close()
					<-gone
					return
				}
			}
		})
	}
	for range 3 {
		began := time.Now()
		entry := "127.0.0.1:" + freePort(t)
		_, port, _ := net.SplitHostPort(echo)
		other := run(t, nil, "connect", address, "--state-dir", p.state, "--expose", entry+"=backend:"+port)
		other.waitLog("connected to the provider")
		took := time.Since(began)
		if took > 2*time.Second {
			t.Errorf("an enrolled client connected after %v", took)
		}
		other.signal(syscall.SIGTERM)
		other.exit()
	}
	close(over)
	flood.Wait()
}
