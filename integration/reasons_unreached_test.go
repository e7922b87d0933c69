package integration

import (
	"io"
	"net"
	"testing"
	"time"

	"ambassador/internal/live"

	"go.uber.org/zap"
)

// carriedBytes are all that a side has counted.
func (p *told) carriedBytes(side string) (b live.Bytes) {
	for _, a := range p.tables()[side].Snapshot(false).Accounts {
		b = b.Add(a.Bytes)
	}
	return b
}

// goesNowhere is a pair whose backend refuses for as long as its consumer, which has
// sent some bytes, waits.
func goesNowhere(t *testing.T, hold time.Duration) (*told, *net.TCPConn) {
	nobody, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody.Close()
	p := tell(t, toldOptions{target: targetOf(nobody.Addr()), hold: hold})
	p.session()
	c := p.dial()
	if _, err := io.WriteString(c, "*1\r\n$4\r\nPING\r\n"); err != nil {
		t.Fatal(err)
	}
	return p, c
}

func (p *told) nothingCarried() {
	p.t.Helper()
	for _, side := range []string{"client", "provider"} {
		if b := p.carriedBytes(side); b != (live.Bytes{}) {
			p.t.Errorf("%s counts %+v for a backend that was not reached", side, b)
		}
	}
}

func TestConsumerThatLeavesBeforeItsBackendIsConnected(t *testing.T) {
	p, c := goesNowhere(t, time.Minute)
	within(t, patience, func() bool { return len(p.provider.Table.Snapshot(true).Streams) == 1 })
	within(t, patience, func() bool { return p.running("client").Phase == live.Open })
	p.nothingCarried()
	reset(t, c)
	p.ended("provider", live.ConsumerGone)
	if l := p.ended("client", live.ConsumerGone); l["bytes_in"] != int64(0) {
		t.Errorf("the client's line says that %v bytes went to the backend", l["bytes_in"])
	}
	p.nothingCarried()
}

func TestBytesToABackendThatRefusesAreNotCounted(t *testing.T) {
	p, _ := goesNowhere(t, time.Second)
	p.ended("client", live.BackendRefused)
	p.ended("provider", live.BackendRefused)
	p.nothingCarried()
	for side, msg := range map[string]string{"client": "consumer reset", "provider": "backend not reached"} {
		if n := p.logs[side].FilterMessage(msg).FilterField(zap.Stringer("close_reason", live.BackendRefused)).Len(); n != 1 {
			t.Errorf("%s: %d warnings %q with the reason's word: %v", side, n, msg, p.logs[side].FilterMessage(msg).All())
		}
	}
}

// A client hears nothing of a backend that only reads, but that its bytes are taken.
func TestBytesToASilentBackendAreCountedAsTheyGo(t *testing.T) {
	p := tell(t, toldOptions{hold: time.Minute})
	p.session()
	c := p.dial()
	taken := make(chan int64, 1)
	const all = 1 << 20
	go func() {
		backend, err := p.backend.Accept()
		if err != nil {
			taken <- 0
			return
		}
		t.Cleanup(func() { backend.Close() })
		n, _ := io.CopyN(io.Discard, backend, all)
		taken <- n
	}()
	if _, err := c.Write(make([]byte, all)); err != nil {
		t.Fatal(err)
	}
	if n := <-taken; n != all {
		t.Fatalf("the backend got %d bytes", n)
	}
	within(t, patience, func() bool { return p.carriedBytes("client").In == all && p.carriedBytes("provider").In == all })
	reset(t, c)
	p.ended("provider", live.ConsumerReset)
	p.ended("client", live.ConsumerReset)
}

func TestSessionThatAnOperatorEndsIsNotCalledLost(t *testing.T) {
	for _, side := range []string{"client", "provider"} {
		t.Run(side, func(t *testing.T) {
			p := tell(t, toldOptions{})
			p.connected()
			p.tables()[side].KillSession(p.running(side).Session)
			p.reconnects()
			says := map[string]string{"client": "session ended by an operator, connecting again", "provider": "client disconnected"}[side]
			within(t, patience, func() bool { return p.logs[side].FilterMessage(says).Len() > 0 })
			line := p.logs[side].FilterMessage(says).All()[0]
			if why := line.ContextMap()["reason"]; side == "provider" && why != "ended by an operator" {
				t.Errorf("it says %v", why)
			}
			if lost := p.logs[side].FilterMessage("session with the provider lost, connecting again").Len(); side == "client" && lost > 0 {
				t.Error("the client that ended it says that it was lost")
			}
		})
	}
}
