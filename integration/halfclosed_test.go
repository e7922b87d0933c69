package integration

import (
	"crypto/sha256"
	"net"
	"testing"
	"time"
)

// The limit of these tests stands in for a day, and their reply of five times the
// limit for one that takes all week.
const (
	halfClosedIdle = 2 * time.Second
	longReply      = 5 * halfClosedIdle
)

// TestHalfClosed: a reply may take longer than --half-closed-idle as long as some of
// it comes; where nothing comes any more that limit ends the connection. Either
// ambassador's does.
func TestHalfClosed(t *testing.T) {
	t.Parallel()
	short := []string{"--half-closed-idle", halfClosedIdle.String()}
	for by, start := range map[string]func(t *testing.T, b *backend) (p *process, entry string){
		"serve": func(t *testing.T, b *backend) (*process, string) {
			p := startPair(t, b.addr, pairOptions{serve: short})
			return p.provider, p.entry
		},
		"connect": func(t *testing.T, b *backend) (*process, string) {
			p := startPair(t, b.addr, pairOptions{connect: short})
			return p.client, p.entry
		},
		"forward": func(t *testing.T, b *backend) (*process, string) {
			port := freePort(t)
			p := run(t, []string{"BACKEND_PORT_" + port + "_TCP=tcp://" + b.addr}, append([]string{"forward"}, short...)...)
			p.waitLog("forwarding")
			return p, "127.0.0.1:" + port
		},
	} {
		t.Run(by, func(t *testing.T) {
			t.Parallel()
			b := newBackend(t)
			p, entry := start(t, b)
			for name, ends := range map[string]func() (finishes, replies *net.TCPConn){
				"consumer-finishes": func() (finishes, replies *net.TCPConn) { return b.dial(t, entry) },
				"service-finishes": func() (finishes, replies *net.TCPConn) {
					replies, finishes = b.dial(t, entry)
					return finishes, replies
				},
			} {
				t.Run(name+"/reply-takes-longer-than-the-limit", func(t *testing.T) {
					finishes, replies := ends()
					longReplyArrives(t, finishes, replies)
				})
				t.Run(name+"/and-then-nothing-for-ever", func(t *testing.T) {
					finishes, replies := ends()
					silenceEnds(t, p, finishes, replies)
				})
			}
		})
	}
}

// longReplyArrives: the pauses of the reply are shorter than the limit, and all of
// it is longer.
func longReplyArrives(t *testing.T, finishes, replies *net.TCPConn) {
	exchange(t, finishes, replies)
	finishes.CloseWrite()
	if rest, err := readAll(replies, patience); err != nil || len(rest) > 0 {
		t.Fatalf("%d bytes, %v; want the end that was sent", len(rest), err)
	}
	said := sha256.New()
	failed := make(chan error, 1)
	go func() {
		defer replies.CloseWrite()
		pace := time.NewTicker(halfClosedIdle / 2)
		defer pace.Stop()
		for began := time.Now(); time.Since(began) < longReply; <-pace.C {
			part := random(100_000)
			said.Write(part)
			if _, err := replies.Write(part); err != nil {
				failed <- err
				return
			}
		}
		failed <- nil
	}()
	got, err := readAll(finishes, longReply+patience)
	if wrong := <-failed; wrong != nil {
		t.Error("replying:", wrong)
	}
	if err != nil {
		t.Errorf("%d bytes, then %v; want a clean end", len(got), err)
	}
	if heard := sha256.Sum256(got); string(heard[:]) != string(said.Sum(nil)) {
		t.Errorf("%d bytes, and they are not those that were sent", len(got))
	}
}

// silenceEnds: both ends get a reset, not before the limit and at most an eighth
// after it.
func silenceEnds(t *testing.T, p *process, finishes, replies *net.TCPConn) {
	exchange(t, finishes, replies)
	began := time.Now()
	finishes.CloseWrite()
	if _, err := readAll(replies, patience); err != nil {
		t.Fatal(err)
	}
	_, err := readAll(finishes, patience)
	took := time.Since(began)
	if !isReset(err) {
		t.Errorf("%v after %v, want a reset", err, took)
	}
	if took < halfClosedIdle || took > halfClosedIdle*9/8+soon*idleFactor {
		t.Errorf("ended after %v, with a limit of %v", took, halfClosedIdle)
	}
	within(t, soon, func() bool {
		_, err := replies.Write([]byte("x"))
		return isReset(err)
	})
	p.waitLog("stream ended", `"close_reason":"idle-half-closed"`)
}
