package mux

import (
	"io"
	"net"
	"sync"
	"testing"
	"time"
)

// slowPath joins two connections and carries what a sends at so many bytes a
// second, and what b sends as it comes.
func slowPath(t *testing.T, rate int) (a, b net.Conn) {
	a, atA := tcpPair(t)
	atB, b := tcpPair(t)
	if err := atA.(*net.TCPConn).SetReadBuffer(64 << 10); err != nil {
		t.Fatal(err)
	}
	var pumps sync.WaitGroup
	pump := func(to, from net.Conn, every time.Duration) {
		tick := time.NewTicker(max(every, time.Nanosecond))
		defer tick.Stop()
		buf := make([]byte, 16<<10)
		for {
			n, err := from.Read(buf)
			if every > 0 && n > 0 {
				<-tick.C
			}
			if n > 0 {
				if _, err := to.Write(buf[:n]); err != nil {
					return
				}
			}
			if err == io.EOF {
				to.(*net.TCPConn).CloseWrite()
				return
			}
			if err != nil {
				to.(*net.TCPConn).SetLinger(0)
				to.Close()
				return
			}
		}
	}
	pumps.Go(func() { pump(atB, atA, time.Duration(16<<10)*time.Second/time.Duration(rate)) })
	pumps.Go(func() { pump(atA, atB, 0) })
	t.Cleanup(func() {
		atA.Close()
		atB.Close()
		pumps.Wait()
	})
	return a, b
}

// The backend has finished first, and the consumer's last bytes are on a slow way
// when the session that carried them is done.
func TestFinishWaitsUntilThePeerHasTheLastBytes(t *testing.T) {
	t.Parallel()
	const rate = 400 << 10
	a, b := slowPath(t, rate)
	client, provider := sessionsOver(t, a, b, Options{})
	c, p := streamPair(t, client, provider)
	if err := p.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(c); len(got) > 0 || err != nil {
		t.Fatalf("%d bytes, %v", len(got), err)
	}
	type end struct {
		n   int64
		err error
	}
	received := make(chan end, 1)
	go func() {
		n, err := io.Copy(io.Discard, p)
		received <- end{n, err}
	}()
	retired := client.Retire()
	const size = 3*rate + 1234 // three seconds, and no multiple of a window update
	if _, err := c.Write(make([]byte, size)); err != nil {
		t.Fatal(err)
	}
	if err := c.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	<-retired
	if err := client.Finish(t.Context()); err != nil {
		t.Error("the session's end:", err)
	}
	if got := <-received; got.n != size || got.err != nil {
		t.Errorf("%d bytes of %d, then %v", got.n, size, got.err)
	}
}

func TestFinishOfADeafPeerEnds(t *testing.T) {
	t.Parallel()
	client, peer := rawPeer(t, true)
	within(t, patience, "the session ends", func() {
		if err := client.Finish(t.Context()); err == nil {
			t.Error("a peer that never closes has had it all")
		}
	})
	peer.Close()
}

// A stream that has not been announced yet is not reset on the wire: for the peer
// that would be its beginning and its end in one frame.
func TestUnheardStreamThatWasNotSentHarmsNoOther(t *testing.T) {
	client, provider := sessionPair(t, Options{})
	c, p := streamPair(t, client, provider)
	p.Write([]byte("x"))
	if _, err := io.ReadFull(c, make([]byte, 1)); err != nil { // everything so far has been heard
		t.Fatal(err)
	}
	st, err := client.openStream([]byte("header"))
	if err != nil {
		t.Fatal(err)
	}
	if n := client.ResetUnheard("silent"); n != 1 {
		t.Fatalf("%d streams reset, want the one", n)
	}
	if _, err := st.Write([]byte("y")); err == nil {
		t.Error("the stream that was reset is written")
	}
	p.Write([]byte("z"))
	if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
		t.Error("another stream:", err)
	}
	if provider.Err() != nil {
		t.Error("the session:", provider.Err())
	}
}
