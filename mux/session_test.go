package mux

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestOpenHeaderArrivesWithTheFirstBytes(t *testing.T) {
	client, provider := sessionPair(t, Options{})
	want := Open{Link: "redis", Port: 6379, Transport: TCP, Hold: 2500 * time.Millisecond, Consumer: "10.0.0.9:4711"}
	c, err := client.Open(want, []byte("PING\r\n"))
	if err != nil {
		t.Fatal(err)
	}
	p, err := provider.Accept()
	if err != nil {
		t.Fatal(err)
	}
	got, err := p.ReadOpen(patience)
	if err != nil || got != want {
		t.Fatalf("open header %+v, %v; want %+v", got, err, want)
	}
	p.Connected()
	if _, err := p.Write([]byte("+PONG\r\n")); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(c.CloseWrite(), p.CloseWrite()); err != nil {
		t.Fatal(err)
	}
	request, err1 := io.ReadAll(p)
	reply, err2 := io.ReadAll(c)
	if string(request) != "PING\r\n" || string(reply) != "+PONG\r\n" || err1 != nil || err2 != nil {
		t.Fatalf("request %q (%v), reply %q (%v)", request, err1, reply, err2)
	}
	eventually(t, "both sessions forget the stream", func() bool { return client.Streams()+provider.Streams() == 0 })
}

func TestHalfCloseKeepsTheReplyFlowing(t *testing.T) {
	client, provider := sessionPair(t, Options{})
	c, p := streamPair(t, client, provider)
	if _, err := c.Write([]byte("question")); err != nil {
		t.Fatal(err)
	}
	if err := c.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if q, err := io.ReadAll(p); string(q) != "question" || err != nil {
		t.Fatalf("question %q, %v", q, err)
	}
	reply := make([]byte, 5<<20) // several windows
	rand.Read(reply)
	go func() {
		if _, err := p.Write(reply); err != nil {
			t.Error("reply:", err)
		}
		if err := p.CloseWrite(); err != nil {
			t.Error("end of reply:", err)
		}
	}()
	got, err := io.ReadAll(c)
	if err != nil || !bytes.Equal(got, reply) {
		t.Fatalf("reply of %d bytes, %v; want %d, equal and a clean end", len(got), err, len(reply))
	}
}

func TestResetArrivesAfterEveryByteSentBefore(t *testing.T) {
	for _, dir := range []string{"client to provider", "provider to client"} {
		t.Run(dir, func(t *testing.T) {
			client, provider := sessionPair(t, Options{})
			from, to := streamPair(t, client, provider)
			if dir == "provider to client" {
				from, to = to, from
			}
			sent := make([]byte, 200<<10) // less than a window: all of it is on its way
			rand.Read(sent)
			if _, err := from.Write(sent); err != nil {
				t.Fatal(err)
			}
			cut := make(chan error, 1)
			to.AfterAbort(func(err error) { cut <- err })
			from.Reset("test")
			if err := <-cut; !errors.Is(err, ErrReset) {
				t.Fatalf("abort told %v, want ErrReset", err)
			}
			// Only now, with the reset known for sure, is anything read.
			got, err := io.ReadAll(to)
			if !errors.Is(err, ErrReset) || !bytes.Equal(got, sent) {
				t.Fatalf("%d bytes, then %v; want %d bytes, then ErrReset", len(got), err, len(sent))
			}
			if _, err := to.Write([]byte("x")); !errors.Is(err, ErrReset) {
				t.Fatalf("write after the reset: %v", err)
			}
			if _, err := from.Read(make([]byte, 1)); !errors.Is(err, ErrClosed) {
				t.Fatalf("read on the side that reset: %v", err)
			}
			to.Reset("done")
			eventually(t, "both sessions forget the stream", func() bool {
				return client.Streams()+provider.Streams() == 0
			})
		})
	}
}

func TestResetAfterTheEndStillResetsTheOtherDirection(t *testing.T) {
	client, provider := sessionPair(t, Options{})
	c, p := streamPair(t, client, provider)
	if _, err := p.Write([]byte("reply")); err != nil {
		t.Fatal(err)
	}
	if err := p.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	cut := make(chan error, 1)
	c.AfterAbort(func(err error) { cut <- err })
	p.Reset("backend reset after its FIN")
	if err := <-cut; !errors.Is(err, ErrReset) {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(c); string(got) != "reply" || err != nil {
		t.Fatalf("%q, %v; the reply was complete", got, err)
	}
	if _, err := c.Write([]byte("more")); !errors.Is(err, ErrReset) {
		t.Fatalf("write: %v", err)
	}
	c.Reset("done")
	eventually(t, "both sessions forget the stream", func() bool { return client.Streams()+provider.Streams() == 0 })
	// The session is unharmed.
	streamPair(t, client, provider)
}

func TestBlockedWriterWakesOnReset(t *testing.T) {
	client, provider := sessionPair(t, Options{})
	for _, side := range []string{"peer resets", "own reset"} {
		c, p := streamPair(t, client, provider)
		failed := make(chan error, 1)
		go func() {
			_, err := c.Write(make([]byte, 64<<20)) // nobody reads
			failed <- err
		}()
		want := ErrReset
		if side == "peer resets" {
			p.Reset("test")
		} else {
			c.Reset("test")
			want = ErrClosed
		}
		within(t, patience, side, func() {
			if err := <-failed; !errors.Is(err, want) {
				t.Errorf("%s: %v, want %v", side, err, want)
			}
		})
	}
}

func TestBothSidesResetAtOnce(t *testing.T) {
	client, provider := sessionPair(t, Options{})
	for range 200 {
		c, p := streamPair(t, client, provider)
		var both sync.WaitGroup
		both.Go(func() { c.Reset("test") })
		both.Go(func() { p.Reset("test") })
		both.Wait()
	}
	eventually(t, "nothing is left of them", func() bool {
		return client.Streams()+provider.Streams() == 0
	})
}

func TestLostSessionIsNeverACleanEnd(t *testing.T) {
	for _, how := range []string{"connection reset", "connection closed", "session closed at the provider"} {
		t.Run(how, func(t *testing.T) {
			a, b := tcpPair(t)
			client, provider := sessionsOver(t, a, b, Options{})
			c, p := streamPair(t, client, provider)
			if _, err := p.Write([]byte("half of the")); err != nil {
				t.Fatal(err)
			}
			if err := c.WaitReadable(); err != nil {
				t.Fatal(err)
			}
			told := make(chan error, 2)
			c.AfterAbort(func(err error) { told <- err })
			p.AfterAbort(func(err error) { told <- err })
			switch how {
			case "connection reset":
				b.(*net.TCPConn).SetLinger(0)
				b.Close()
			case "connection closed":
				b.Close()
			default:
				provider.Close()
			}
			for range 2 {
				within(t, time.Second, "the loss is told", func() {
					if err := <-told; !errors.Is(err, ErrSessionLost) {
						t.Errorf("told %v", err)
					}
				})
			}
			got, err := io.ReadAll(c)
			if string(got) != "half of the" || !errors.Is(err, ErrSessionLost) {
				t.Fatalf("%q, %v; want what came, then ErrSessionLost", got, err)
			}
			if _, err := p.Write(make([]byte, 1)); !errors.Is(err, ErrSessionLost) {
				t.Fatalf("write: %v", err)
			}
			if _, err := client.Open(Open{Link: "x"}, nil); !errors.Is(err, ErrSessionLost) {
				t.Fatalf("open: %v", err)
			}
			if err := client.Err(); !errors.Is(err, ErrSessionLost) {
				t.Fatalf("session: %v", err)
			}
		})
	}
}

func TestCompleteReplySurvivesTheSession(t *testing.T) {
	client, provider := sessionPair(t, Options{})
	c, p := streamPair(t, client, provider)
	if _, err := p.Write([]byte("whole")); err != nil {
		t.Fatal(err)
	}
	if err := p.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	provider.Close()
	<-client.Done()
	if got, err := io.ReadAll(c); string(got) != "whole" || err != nil {
		t.Fatalf("%q, %v; it had been received to its end", got, err)
	}
}

func TestRefusalReachesTheReader(t *testing.T) {
	client, provider := sessionPair(t, Options{})
	c, err := client.Open(Open{Link: "nope", Port: 1}, []byte("hello"))
	if err != nil {
		t.Fatal(err)
	}
	p, err := provider.Accept()
	if err != nil {
		t.Fatal(err)
	}
	p.Refuse(RefusedBackend, strings.Repeat("r", 300))
	_, err = c.Read(make([]byte, 1))
	var refused *RefusedError
	if !errors.As(err, &refused) || refused.Refusal != RefusedBackend || refused.Reason != strings.Repeat("r", 255) {
		t.Fatalf("%v", err)
	}
	if _, again := c.Read(make([]byte, 1)); again != err {
		t.Fatalf("a second read says %v", again)
	}
	c.Reset("refused")
	eventually(t, "the stream is forgotten", func() bool { return client.Streams()+provider.Streams() == 0 })
}

func TestMalformedOpenHeaderHarmsOnlyItsStream(t *testing.T) {
	client, provider := sessionPair(t, Options{})
	good, goodAt := streamPair(t, client, provider)
	for _, garbage := range []string{"\x00GET / HTTP/1.1", "\x01\xff\xff", "\x01\x00\x02ab", "\x01\x00\x09\x11\x00\x01\x00\x00\x00\x00\x00\x00", "\x01\x00\x09\x06\x00\x01\x00\x00\x00\x00\x05\x00"} {
		c, err := client.openStream(nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Write([]byte(garbage)); err != nil {
			t.Fatal(err)
		}
		p, err := provider.Accept()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.ReadOpen(patience); !errors.Is(err, ErrProtocol) {
			t.Errorf("%q: %v, want ErrProtocol", garbage, err)
		}
		p.Refuse(RefusedRequest, "")
		c.Reset("test")
	}
	if _, err := good.Write([]byte("still here")); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 10)
	if _, err := io.ReadFull(goodAt, buf); err != nil || string(buf) != "still here" {
		t.Fatalf("%q, %v", buf, err)
	}
}

func TestOpenHeaderThatNeverComesEndsAtItsDeadline(t *testing.T) {
	client, provider := sessionPair(t, Options{})
	c, err := client.openStream(nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Write([]byte{openVersion}); err != nil {
		t.Fatal(err)
	}
	p, err := provider.Accept()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.ReadOpen(time.Millisecond); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal(err)
	}
}

func TestPeerWithoutOurProtocolIsRefused(t *testing.T) {
	for _, side := range []string{"client", "provider"} {
		t.Run(side, func(t *testing.T) {
			a, b := tcpPair(t)
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			plain := make(chan struct{})
			go func() {
				defer close(plain)
				other := testTLS().Clone() // no ALPN
				if side == "client" {
					c := tls.Server(b, other)
					io.Copy(io.Discard, c)
					c.Close()
				} else {
					c := tls.Client(a, other)
					io.Copy(io.Discard, c)
					c.Close()
				}
			}()
			var err error
			if side == "client" {
				_, err = Client(ctx, a, testTLS(), Options{})
			} else {
				_, err = Server(ctx, b, testTLS(), Options{})
			}
			if !errors.Is(err, ErrNoALPN) {
				t.Fatalf("%v, want ErrNoALPN", err)
			}
			<-plain
		})
	}
}

func TestStrangersFailTheHandshake(t *testing.T) {
	for name, sends := range map[string]string{
		"HTTP": "GET / HTTP/1.1\r\nHost: x\r\n\r\n", "garbage": "\x16\x03\x01\xff\xff\xff\xff\xff", "port scanner": "",
	} {
		t.Run(name, func(t *testing.T) {
			a, b := tcpPair(t)
			io.WriteString(a, sends)
			a.(*net.TCPConn).CloseWrite()
			_, err := Server(t.Context(), b, testTLS(), Options{})
			if !errors.Is(err, ErrAuthentication) {
				t.Fatalf("%v, want ErrAuthentication", err)
			}
			a.Close()
		})
	}
}

func TestManyStreamsKeepTheirBytesApart(t *testing.T) {
	client, provider := sessionPair(t, Options{})
	const streams, size = 40, 1 << 20
	go func() { // an echo for every stream
		for range streams {
			p, err := provider.Accept()
			if err != nil {
				t.Error(err)
				return
			}
			go func() {
				if _, err := p.ReadOpen(patience); err != nil {
					t.Error(err)
				}
				p.Connected()
				if _, err := io.Copy(p, p); err != nil {
					t.Error("echo:", err)
				}
				p.CloseWrite()
			}()
		}
	}()
	var all sync.WaitGroup
	for i := range streams {
		all.Go(func() {
			c, err := client.Open(Open{Link: "echo", Port: uint16(i)}, nil)
			if err != nil {
				t.Error(err)
				return
			}
			data := make([]byte, size)
			rand.Read(data)
			go func() {
				for b := data; len(b) > 0; {
					n := min(len(b), 97+i*977)
					if _, err := c.Write(b[:n]); err != nil {
						t.Error(err)
						return
					}
					b = b[n:]
				}
				c.CloseWrite()
			}()
			h := sha256.New()
			n, err := io.Copy(h, c)
			if want := sha256.Sum256(data); err != nil || n != size || !bytes.Equal(h.Sum(nil), want[:]) {
				t.Errorf("stream %d: %d bytes, %v, hash differs: %v", i, n, err, !bytes.Equal(h.Sum(nil), want[:]))
			}
		})
	}
	within(t, 6*patience, "all echoes", all.Wait)
	eventually(t, "nothing is left", func() bool { return client.Streams()+provider.Streams() == 0 })
}

func TestStoppedReaderStallsOnlyItsStream(t *testing.T) {
	client, provider := sessionPair(t, Options{})
	stuck, _ := streamPair(t, client, provider)
	live, liveAt := streamPair(t, client, provider)
	stuckWriter := make(chan error, 1)
	go func() {
		_, err := stuck.Write(make([]byte, 64<<20))
		stuckWriter <- err
	}()
	data := make([]byte, 16<<20)
	go live.Write(data)
	within(t, patience, "the other stream's data", func() {
		if _, err := io.ReadFull(liveAt, make([]byte, len(data))); err != nil {
			t.Error(err)
		}
	})
	stuck.Reset("test")
	<-stuckWriter
}

func TestBurstOfOpensIsNotReset(t *testing.T) {
	client, provider := sessionPair(t, Options{})
	const burst = 5000
	served := make(chan struct{})
	go func() {
		defer close(served)
		for range burst {
			p, err := provider.Accept()
			if err != nil {
				t.Error(err)
				return
			}
			go func() {
				p.ReadOpen(patience)
				p.Connected()
				p.Write([]byte("k"))
				p.CloseWrite()
				p.WaitReadable()
				p.Close()
			}()
		}
	}()
	var all sync.WaitGroup
	for range burst {
		all.Go(func() {
			c, err := client.Open(Open{Link: "x"}, nil)
			if err != nil {
				t.Error(err)
				return
			}
			c.CloseWrite()
			if b, err := io.ReadAll(c); string(b) != "k" || err != nil {
				t.Errorf("%q, %v", b, err)
			}
			c.Close()
		})
	}
	within(t, 6*patience, "the burst", all.Wait)
	<-served
	eventually(t, "nothing is left", func() bool { return client.Streams()+provider.Streams() == 0 })
}

func TestControlMessagesBothWays(t *testing.T) {
	client, provider := sessionPair(t, Options{})
	if m, err := provider.Control().Receive(); err != nil || m.Kind != KindHello {
		t.Fatalf("%+v, %v", m, err)
	}
	want := Message{Kind: KindWelcome, Version: "1", Links: []Offer{{Name: "redis", Ports: []uint16{6379}}}}
	if err := provider.Control().Send(want); err != nil {
		t.Fatal(err)
	}
	if m, err := client.Control().Receive(); err != nil || fmt.Sprint(m) != fmt.Sprint(want) {
		t.Fatalf("%+v, %v", m, err)
	}
	provider.Close()
	if _, err := client.Control().Receive(); !errors.Is(err, ErrSessionLost) {
		t.Fatal(err)
	}
}

func TestControlLineThatIsNoMessage(t *testing.T) {
	for name, line := range map[string]string{"garbage": "{]\n", "endless": strings.Repeat("x", maxLine+1)} {
		t.Run(name, func(t *testing.T) {
			client, provider := sessionPair(t, Options{})
			provider.Control().Receive() // hello
			go client.control.stream.Write([]byte(line))
			if _, err := provider.Control().Receive(); !errors.Is(err, ErrProtocol) {
				t.Fatal(err)
			}
		})
	}
}

func TestRetiredSessionEndsWithItsLastStream(t *testing.T) {
	client, provider := sessionPair(t, Options{})
	c, p := streamPair(t, client, provider)
	empty := client.Retire()
	if _, err := client.Open(Open{Link: "x"}, nil); !errors.Is(err, ErrRetired) {
		t.Fatalf("open after Retire: %v", err)
	}
	select {
	case <-empty:
		t.Fatal("said to be empty with a stream open")
	default:
	}
	if err := errors.Join(c.CloseWrite(), p.CloseWrite()); err != nil {
		t.Fatal(err)
	}
	within(t, patience, "empty", func() { <-empty })
	if err := client.Err(); err != nil {
		t.Fatalf("the session itself ended: %v", err)
	}
}
