package integration

import (
	"bytes"
	"fmt"
	"net"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// redis is a real Redis of this test's own.
type redis struct {
	t    *testing.T
	port string
	cmd  *exec.Cmd
}

// startRedis starts redis-server. Without it the test is skipped and says so;
// with AMBASSADOR_REQUIRE=redis it fails.
func startRedis(t *testing.T) *redis {
	t.Helper()
	for _, program := range []string{"redis-server", "redis-cli", "redis-benchmark"} {
		if _, err := exec.LookPath(program); err != nil {
			if required("redis") {
				t.Fatalf("%s is required: %v", program, err)
			}
			t.Skipf("needs a real Redis (Debian's redis-server and redis-tools): %v", err)
		}
	}
	r := &redis{t: t, port: freePort(t)}
	r.start()
	t.Cleanup(r.stop)
	return r
}

func (r *redis) addr() string { return "127.0.0.1:" + r.port }

func (r *redis) start() {
	r.t.Helper()
	r.cmd = exec.Command("redis-server", "--port", r.port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no")
	r.cmd.Dir = r.t.TempDir()
	if err := r.cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	eventually(r.t, patience, func() error { return ping(r.addr(), time.Second) })
}

func (r *redis) stop() {
	r.cmd.Process.Signal(syscall.SIGKILL)
	r.cmd.Wait()
}

// cli runs redis-cli against addr.
func cli(t *testing.T, addr string, args ...string) (string, error) {
	t.Helper()
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	r := command(nil, "redis-cli", append([]string{"-h", "127.0.0.1", "-p", port}, args...)...)
	if r.err != nil {
		return r.stdout, fmt.Errorf("%v", r)
	}
	if strings.HasPrefix(r.stdout, "Error:") || strings.Contains(r.stderr, "Error:") || strings.Contains(r.stderr, "Could not connect") {
		return r.stdout, fmt.Errorf("%v", r)
	}
	return r.stdout, nil
}

func TestRedisThroughThePair(t *testing.T) {
	r := startRedis(t)
	p := startPair(t, r.addr(), pairOptions{})

	t.Run("commands", func(t *testing.T) {
		for _, c := range []struct{ words, want string }{
			{"PING", "PONG"}, {"SET greeting hello", "OK"}, {"GET greeting", "hello"},
		} {
			if got, err := cli(t, p.entry, strings.Fields(c.words)...); err != nil || got != c.want {
				t.Errorf("%s: %q, %v; want %q", c.words, got, err, c.want)
			}
		}
	})
	t.Run("large-values-arrive-whole", func(t *testing.T) {
		c, err := net.Dial("tcp", p.entry)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(patience))
		value := random(32 << 20)
		go func() {
			fmt.Fprintf(c, "*3\r\n$3\r\nSET\r\n$1\r\nv\r\n$%d\r\n", len(value))
			c.Write(value)
			fmt.Fprintf(c, "\r\n*2\r\n$3\r\nGET\r\n$1\r\nv\r\n*1\r\n$4\r\nQUIT\r\n")
		}()
		got, err := readAll(c.(*net.TCPConn), patience)
		want := append([]byte(fmt.Sprintf("+OK\r\n$%d\r\n", len(value))), value...)
		if err != nil || !bytes.Equal(got, append(want, "\r\n+OK\r\n"...)) {
			t.Fatalf("%d bytes, %v; want %d, equal and a clean end", len(got), err, len(want)+7)
		}
	})
	t.Run("benchmark-has-no-errors", func(t *testing.T) {
		_, port, _ := net.SplitHostPort(p.entry)
		res := command(nil, "redis-benchmark", "-p", port, "-t", "ping_mbulk,get,set", "-c", "50", "-n", "5000", "-P", "4", "-q")
		if res.err != nil || strings.Contains(res.stdout+res.stderr, "rror") || strings.Count(res.stdout, "requests per second") < 3 {
			t.Fatal(res)
		}
	})
	t.Run("backend-restart-within-the-hold-budget-costs-no-error", func(t *testing.T) {
		r.stop()
		restarted := make(chan struct{})
		time.AfterFunc(2*time.Second, func() {
			defer close(restarted)
			r.start()
		})
		if got, err := cli(t, p.entry, "PING"); err != nil || got != "PONG" {
			t.Errorf("%q, %v", got, err)
		}
		<-restarted
	})
	t.Run("session-lost-then-back", func(t *testing.T) {
		c, err := net.Dial("tcp", p.entry)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		c.Write([]byte("*2\r\n$9\r\nSUBSCRIBE\r\n$1\r\nx\r\n"))
		if _, err := c.Read(make([]byte, 64)); err != nil {
			t.Fatal(err)
		}
		p.carrier.cut()
		seesReset(t, c.(*net.TCPConn))
		if got, err := cli(t, p.entry, "PING"); err != nil || got != "PONG" {
			t.Fatalf("next command: %q, %v", got, err)
		}
	})
}

func TestBackendThatIsDown(t *testing.T) {
	port := freePort(t)
	p := startPair(t, "127.0.0.1:"+port, pairOptions{connect: []string{"--hold", "500ms"}})
	c, err := net.Dial("tcp", p.entry)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	began := time.Now()
	_, err = readAll(c.(*net.TCPConn), patience)
	if took := time.Since(began); !isReset(err) || took < 400*time.Millisecond || took > 500*time.Millisecond+soon {
		t.Fatalf("%v after %v; want a reset when the hold budget of 500ms is spent", err, took)
	}
	p.client.waitLog("consumer reset", "backend not reached: connection refused")
	p.provider.waitLog("backend not reached", "connection refused", "127.0.0.1:"+port)
}

func TestLinkThatIsNotGranted(t *testing.T) {
	b := newBackend(t)
	p := startPair(t, b.addr, pairOptions{links: []string{"other"}})
	p.client.waitLog("not available from this provider", "backend")
	// The reset may come before the consumer's connect has returned.
	if c, err := net.Dial("tcp", p.entry); err == nil {
		defer c.Close()
		seesReset(t, c.(*net.TCPConn))
	} else if !isReset(err) {
		t.Fatal(err)
	}
	select {
	case <-b.conns:
		t.Fatal("the backend was dialled")
	default:
	}
}

func TestSessionLostResetsBothEnds(t *testing.T) {
	b := newBackend(t)
	p := startPair(t, b.addr, pairOptions{})
	t.Run("idle", func(t *testing.T) {
		consumer, service := b.dial(t, p.entry)
		exchange(t, consumer, service)
		p.carrier.cut()
		seesReset(t, consumer)
		seesReset(t, service)
	})
	t.Run("in-a-transfer", func(t *testing.T) {
		consumer, service := b.dial(t, p.entry)
		written := make(chan error, 1)
		go func() {
			for {
				if _, err := service.Write(make([]byte, 64<<10)); err != nil {
					written <- err
					return
				}
			}
		}()
		if _, err := consumer.Read(make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		p.carrier.cut()
		if _, err := readAll(consumer, patience); !isReset(err) {
			t.Fatalf("consumer: %v; a lost session must not look finished", err)
		}
		select {
		case err := <-written: // a socket tells its reset once
			if !isReset(err) {
				t.Fatalf("service: %v", err)
			}
		case <-time.After(soon):
			t.Fatal("the service still writes")
		}
	})
	t.Run("with-readers-that-stopped", func(t *testing.T) {
		consumer, service := b.dial(t, p.entry)
		full(t, service)
		full(t, consumer)
		p.carrier.cut()
		for _, c := range []*net.TCPConn{consumer, service} {
			c.SetWriteDeadline(time.Time{})
			within(t, soon+time.Second, func() bool {
				_, err := c.Write([]byte("x"))
				return isReset(err)
			})
		}
	})
	t.Run("half-closed", func(t *testing.T) {
		consumer, service := b.dial(t, p.entry)
		consumer.CloseWrite()
		if _, err := readAll(service, patience); err != nil {
			t.Fatal(err)
		}
		p.carrier.cut()
		seesReset(t, consumer)
	})
}

func TestStoppedReaderStallsNobodyElse(t *testing.T) {
	b := newBackend(t)
	p := startPair(t, b.addr, pairOptions{})
	_, stuck := b.dial(t, p.entry)
	full(t, stuck)
	consumer, service := b.dial(t, p.entry)
	sent := random(32 << 20)
	go func() {
		service.Write(sent)
		service.CloseWrite()
	}()
	if got, err := readAll(consumer, patience); err != nil || !bytes.Equal(got, sent) {
		t.Fatalf("%d bytes, %v", len(got), err)
	}
}

func TestConsumerWaitsForAProviderThatStarts(t *testing.T) {
	b := newBackend(t)
	p := startPair(t, b.addr, pairOptions{connect: []string{"--hold", "20s"}})
	p.carrier.setRefuse(true)
	p.carrier.cut()
	p.client.waitLog("session with the provider lost, connecting again")
	c, err := net.Dial("tcp", p.entry)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.Write([]byte("early"))
	p.carrier.setRefuse(false)
	select {
	case service := <-b.conns:
		buf := make([]byte, 5)
		service.SetReadDeadline(time.Now().Add(patience))
		if _, err := service.Read(buf); err != nil || string(buf) != "early" {
			t.Fatalf("%q, %v", buf, err)
		}
		service.Close()
	case <-time.After(patience):
		t.Fatal("the waiting consumer was not served when the provider came back")
	}
}
