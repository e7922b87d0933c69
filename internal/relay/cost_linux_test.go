package relay

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"testing"
)

// bytesRead gives the bytes that this process has moved out of the kernel by
// read(2), which splice(2) does not count as (proc_pid_io(5), rchar).
func bytesRead(t *testing.T) int64 {
	t.Helper()
	b, err := os.ReadFile("/proc/self/io")
	if err != nil {
		t.Skip(err)
	}
	var n int64
	if _, err := fmt.Sscanf(string(b), "rchar: %d", &n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestBulkBetweenTCPEndsIsSpliced(t *testing.T) {
	const size = 32 << 20
	consumer, backend, r := tcpRelay(t, Options{})
	before := bytesRead(t)
	go func() {
		consumer.Write(make([]byte, size))
		consumer.CloseWrite()
	}()
	if n, err := io.Copy(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{backend}); n != size || err != nil {
		t.Fatalf("%d bytes, %v", n, err)
	}
	backend.Close()
	r.wantReason(t, AClosed)
	// The backend's own reads are 1 x size; a relay that reads makes it 2.
	if n := bytesRead(t) - before; n > size*5/4 {
		t.Errorf("%.2f bytes read for each byte relayed", float64(n)/size)
	}
}

func openPipes(t *testing.T) (n int) {
	t.Helper()
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range fds {
		if target, _ := os.Readlink("/proc/self/fd/" + fd.Name()); strings.HasPrefix(target, "pipe:") {
			n++
		}
	}
	return n
}

func TestIdleHoldsNoPipes(t *testing.T) {
	before := openPipes(t)
	block := make([]byte, 256<<10)
	for range 200 {
		consumer, backend, _ := tcpRelay(t, Options{})
		sent := make(chan error, 1)
		go func() {
			_, err := consumer.Write(block)
			sent <- err
		}()
		receive(t, backend, block)
		if err := <-sent; err != nil {
			t.Fatal(err)
		}
	}
	// net pools its pipes until the garbage collector wants them; what a relay
	// held would be in no pool.
	for range 5 {
		runtime.GC()
		runtime.Gosched()
	}
	if n := openPipes(t) - before; n > 20 {
		t.Errorf("200 idle relays hold %d pipe descriptors", n)
	}
}

func TestIdleHoldsNoBuffers(t *testing.T) {
	const relays = 300
	block := make([]byte, 64<<10)
	got := make([]byte, len(block))
	for _, kind := range []string{"TCP", "stream"} {
		t.Run(kind, func(t *testing.T) {
			heap := func() int64 {
				var m runtime.MemStats
				runtime.GC()
				runtime.GC() // pools survive one
				runtime.ReadMemStats(&m)
				return int64(m.HeapAlloc)
			}
			type pair struct {
				a, b           End
				consumer, peer io.ReadWriter
			}
			pairs := make([]pair, relays)
			for i := range pairs {
				p := &pairs[i]
				c, a := tcpPair(t)
				p.a, p.consumer = TCP(a), c
				if kind == "TCP" {
					b, backend := tcpPair(t)
					p.b, p.peer = TCP(b), backend
					continue
				}
				b, backend := newPipe(len(block))
				b.in.buf = make([]byte, 0, len(block))
				b.out.buf = make([]byte, 0, len(block))
				p.b, p.peer = b, backend
			}
			before := heap()
			for _, p := range pairs {
				start(t, p.a, p.b, Options{})
				for _, way := range [][2]io.ReadWriter{{p.consumer, p.peer}, {p.peer, p.consumer}} {
					sent := make(chan error, 1)
					go func() {
						_, err := way[0].Write(block)
						sent <- err
					}()
					if _, err := io.ReadFull(way[1], got); err != nil {
						t.Fatal(err)
					}
					if err := <-sent; err != nil {
						t.Fatal(err)
					}
				}
			}
			// The smallest buffer is 4 KiB; a relay has two directions.
			if each := (heap() - before) / relays; each > 3<<10 {
				t.Errorf("an idle relay holds %d bytes of heap", each)
			} else {
				t.Logf("%d bytes of heap for an idle relay and what the test keeps of it", each)
			}
		})
	}
}

func TestMessagesAreNotGarbage(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector drops pooled buffers")
	}
	for _, kind := range []string{"TCP-TCP", "TCP-stream"} {
		for _, size := range []int{100, 300_000} {
			t.Run(fmt.Sprint(kind, "-", size), func(t *testing.T) {
				consumer, a := tcpPair(t)
				var b End
				var backend io.ReadWriter
				if kind == "TCP-TCP" {
					e, c := tcpPair(t)
					b, backend = TCP(e), c
				} else {
					b, backend = newPipe(64 << 10)
				}
				start(t, TCP(a), b, Options{})
				there, back := make([]byte, size), make([]byte, size)
				echo := echoes(backend, size)
				defer close(echo)
				round := func() {
					echo <- struct{}{}
					consumer.Write(there)
					io.ReadFull(consumer, back)
				}
				for range 50 {
					round() // sizes settle, pools fill
				}
				if n := testing.AllocsPerRun(200, round); n >= 1 {
					t.Errorf("%v allocations for a message there and back", n)
				}
			})
		}
	}
}

// echoes sends a message of size bytes back each time it is told to.
func echoes(rw io.ReadWriter, size int) chan struct{} {
	again := make(chan struct{})
	go func() {
		buf := make([]byte, size)
		for range again {
			if _, err := io.ReadFull(rw, buf); err != nil {
				continue
			}
			rw.Write(buf)
		}
	}()
	return again
}
