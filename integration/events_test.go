package integration

import (
	"bytes"
	"crypto/rand"
	"net"
	"testing"
	"time"
)

// soon is design.md's bound for passing a reset on.
const soon = time.Second

// TestEvents is the table "what the ends see": what each end sees of the other
// is what a direct TCP connection shows. Every row runs over a direct
// connection too, so that the rows themselves are tested.
func TestEvents(t *testing.T) {
	ways := map[string]func(t *testing.T, b *backend) (entry string){
		"direct": func(_ *testing.T, b *backend) string { return b.addr },
		"forward": func(t *testing.T, b *backend) string {
			return startForward(t, b.addr)
		},
		"pair": func(t *testing.T, b *backend) string {
			return startPair(t, b.addr, pairOptions{}).entry
		},
	}
	for way, start := range ways {
		t.Run(way, func(t *testing.T) {
			b := newBackend(t)
			entry := start(t, b)
			for _, e := range events {
				t.Run(e.name, func(t *testing.T) {
					consumer, service := b.dial(t, entry)
					t.Run("consumer", func(t *testing.T) { e.test(t, consumer, service) })
					consumer, service = b.dial(t, entry)
					t.Run("service", func(t *testing.T) { e.test(t, service, consumer) })
				})
			}
		})
	}
}

// startForward runs the one tier from link variables.
func startForward(t *testing.T, target string) (entry string) {
	t.Helper()
	port := freePort(t)
	p := run(t, []string{"BACKEND_PORT_" + port + "_TCP=tcp://" + target}, "forward")
	p.waitLog("forwarding")
	return "127.0.0.1:" + port
}

// events are the rows: near acts, far sees. Each is run with either end as near.
var events = []struct {
	name string
	test func(t *testing.T, near, far *net.TCPConn)
}{
	{"fin-arrives-after-every-byte-and-the-other-direction-goes-on", func(t *testing.T, near, far *net.TCPConn) {
		sent := random(3 << 20)
		go func() {
			near.Write(sent)
			near.CloseWrite()
		}()
		got, err := readAll(far, patience)
		if err != nil || !bytes.Equal(got, sent) {
			t.Fatalf("far side read %d bytes, %v; want %d and FIN", len(got), err, len(sent))
		}
		reply := random(3 << 20)
		go func() {
			far.Write(reply)
			far.CloseWrite()
		}()
		if got, err := readAll(near, patience); err != nil || !bytes.Equal(got, reply) {
			t.Fatalf("reply of %d bytes, %v; want %d and FIN", len(got), err, len(reply))
		}
	}},
	{"rst-arrives-as-rst", func(t *testing.T, near, far *net.TCPConn) {
		exchange(t, near, far)
		abort(near)
		seesReset(t, far)
	}},
	{"rst-after-a-complete-reply-comes-after-every-byte", func(t *testing.T, near, far *net.TCPConn) {
		exchange(t, near, far)
		reply := random(64 << 10)
		if _, err := near.Write(reply); err != nil {
			t.Fatal(err)
		}
		// The reply has arrived before the reset leaves, as on a fast path; what
		// is asked is that nothing of it is lost on the way.
		first := make([]byte, 1)
		if _, err := far.Read(first); err != nil {
			t.Fatal(err)
		}
		awaitSent(t, near)
		abort(near)
		got, err := readAll(far, patience)
		if !isReset(err) || !bytes.Equal(append(first, got...), reply) {
			t.Fatalf("%d bytes, then %v; want %d, then a reset", 1+len(got), err, len(reply))
		}
	}},
	{"rst-after-half-close-arrives-as-rst", func(t *testing.T, near, far *net.TCPConn) {
		if err := near.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if _, err := readAll(far, patience); err != nil {
			t.Fatal(err)
		}
		abort(near)
		// Nothing is read here any more: the reset shows at the next write, as it
		// would on a direct connection.
		within(t, soon, func() bool {
			_, err := far.Write([]byte("x"))
			return isReset(err)
		})
	}},
	{"rst-reaches-an-end-that-stopped-reading", func(t *testing.T, near, far *net.TCPConn) {
		// Every byte before the reset goes first, and an end that stopped for good
		// is told from one that reads in bursts by 3 s of patience at each
		// ambassador (internal/relay, replyStallLimit).
		full(t, near)
		abort(near)
		within(t, soon+2*3*time.Second, func() bool {
			_, err := far.Write([]byte("x"))
			return isReset(err)
		})
	}},
	{"close-with-unread-data-is-a-reset", func(t *testing.T, near, far *net.TCPConn) {
		exchange(t, near, far)
		if _, err := far.Write(random(64 << 10)); err != nil {
			t.Fatal(err)
		}
		if _, err := near.Read(make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		near.Close()
		seesReset(t, far)
	}},
	{"long-silence-after-half-close-ends-nothing", func(t *testing.T, near, far *net.TCPConn) {
		if err := near.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if _, err := readAll(far, patience); err != nil {
			t.Fatal(err)
		}
		near.SetReadDeadline(time.Now().Add(1500 * time.Millisecond)) // the event is that none comes
		if n, err := near.Read(make([]byte, 1)); n > 0 || !isTimeout(err) {
			t.Fatalf("%d bytes, %v; want silence", n, err)
		}
		if _, err := far.Write([]byte("late")); err != nil {
			t.Fatal(err)
		}
		far.CloseWrite()
		if got, err := readAll(near, patience); string(got) != "late" || err != nil {
			t.Fatalf("%q, %v", got, err)
		}
	}},
}

func random(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}

// exchange makes sure that both directions work.
func exchange(t *testing.T, a, b *net.TCPConn) {
	t.Helper()
	for _, way := range [][2]*net.TCPConn{{a, b}, {b, a}} {
		if _, err := way[0].Write([]byte("hello")); err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 5)
		way[1].SetReadDeadline(time.Now().Add(patience))
		if n, err := way[1].Read(buf); err != nil || string(buf[:n]) != "hello" {
			t.Fatalf("%q, %v", buf[:n], err)
		}
	}
}

func seesReset(t *testing.T, c *net.TCPConn) {
	t.Helper()
	began := time.Now()
	got, err := readAll(c, patience)
	if took := time.Since(began); !isReset(err) || took > soon {
		t.Fatalf("%d bytes, %v after %v; want a reset within %v", len(got), err, took, soon)
	}
}

// within tries until ok, and fails the test after limit.
func within(t *testing.T, limit time.Duration, ok func() bool) {
	t.Helper()
	over := time.After(limit)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-over:
			t.Fatalf("not within %v", limit)
		}
	}
}

// full writes until nothing is taken any more.
func full(t *testing.T, c *net.TCPConn) {
	t.Helper()
	block := make([]byte, 256<<10)
	for {
		c.SetWriteDeadline(time.Now().Add(500 * time.Millisecond))
		if _, err := c.Write(block); isTimeout(err) {
			return
		} else if err != nil {
			t.Fatal(err)
		}
	}
}

func isTimeout(err error) bool {
	e, ok := err.(net.Error)
	return ok && e.Timeout()
}
