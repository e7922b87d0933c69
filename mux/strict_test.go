package mux

import (
	"crypto/tls"
	"errors"
	"io"
	"math"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

// rawPeer gives a session whose peer has shaken hands and then writes the frames
// that a test makes. What the peer is sent waits until the test reads it.
func rawPeer(t *testing.T, isClient bool) (*Session, *tls.Conn) {
	t.Helper()
	return rawPeerOver(t, isClient, func(c net.Conn) net.Conn { return c })
}

// rawPeerOver is rawPeer with the session's connection in a wrapping.
func rawPeerOver(t *testing.T, isClient bool, wrap func(net.Conn) net.Conn) (*Session, *tls.Conn) {
	t.Helper()
	return rawPeerWith(t, isClient, Options{}, wrap)
}

func rawPeerWith(t *testing.T, isClient bool, o Options, wrap func(net.Conn) net.Conn) (*Session, *tls.Conn) {
	t.Helper()
	a, b := tcpPair(t)
	a = wrap(a)
	config := testTLS().Clone()
	config.NextProtos = []string{Protocol}
	start, peer := Server, tls.Client(b, config)
	if isClient {
		start, peer = Client, tls.Server(b, config)
	}
	shaken := make(chan error, 1)
	go func() {
		err := peer.HandshakeContext(t.Context())
		if err == nil && !isClient { // the control stream
			err = writeFrame(peer, makeHeader(typeWindowUpdate, flagSYN, 1, 0))
		}
		shaken <- err
	}()
	s, err := start(t.Context(), a, testTLS(), o)
	if err := errors.Join(err, <-shaken); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		b.Close()
		s.Close()
	})
	return s, peer
}

func writeFrame(w io.Writer, h frameHeader) error {
	_, err := w.Write(h[:])
	return err
}

func TestFramesThatThePeerMayNotSendEndTheSession(t *testing.T) {
	withData := func(flags uint16, id uint32) []byte {
		h := makeHeader(typeData, flags, id, 4)
		return append(h[:], "data"...)
	}
	frame := func(t frameType, flags uint16, id, length uint32) []byte {
		h := makeHeader(t, flags, id, length)
		return h[:]
	}
	for name, c := range map[string]struct {
		isClient bool
		bytes    []byte
	}{
		"provider opens a stream":         {true, frame(typeWindowUpdate, flagSYN, 2, 0)},
		"provider opens stream zero":      {true, frame(typeWindowUpdate, flagSYN, 0, 0)},
		"provider opens a client's":       {true, frame(typeWindowUpdate, flagSYN, 3, 0)},
		"client opens an even stream":     {false, frame(typeWindowUpdate, flagSYN, 2, 0)},
		"client opens a stream twice":     {false, frame(typeWindowUpdate, flagSYN, 1, 0)},
		"a stream opens and ends at once": {false, frame(typeWindowUpdate, flagSYN|flagFIN, 3, 0)},
		"a reset with data":               {false, withData(flagRST, 1)},
		"an end with data":                {false, withData(flagFIN, 1)},
		"data behind the end":             {false, append(frame(typeWindowUpdate, flagFIN, 1, 0), withData(0, 1)...)},
		"going away":                      {true, frame(typeGoAway, 0, 0, 0)},
	} {
		t.Run(name, func(t *testing.T) {
			s, peer := rawPeer(t, c.isClient)
			if _, err := peer.Write(c.bytes); err != nil {
				t.Fatal(err)
			}
			within(t, patience, "the session ends", func() { <-s.Done() })
			if err := s.Err(); !errors.Is(err, ErrProtocol) || !errors.Is(err, ErrSessionLost) {
				t.Fatalf("%v, want ErrProtocol", err)
			}
		})
	}
}

func TestWriterOfAStreamOpenedTwiceWakes(t *testing.T) {
	s, peer := rawPeer(t, false)
	go io.Copy(io.Discard, peer)
	if err := writeFrame(peer, makeHeader(typeWindowUpdate, flagSYN, 3, 0)); err != nil {
		t.Fatal(err)
	}
	p, err := s.Accept()
	if err != nil {
		t.Fatal(err)
	}
	failed := make(chan error, 1)
	go func() {
		_, err := p.Write(make([]byte, 2*initialWindow)) // no more window comes
		failed <- err
	}()
	eventually(t, "the writer waits for a window", func() bool { return p.Progress() == initialWindow })
	if err := writeFrame(peer, makeHeader(typeWindowUpdate, flagSYN, 3, 0)); err != nil {
		t.Fatal(err)
	}
	within(t, patience, "the writer wakes", func() {
		if err := <-failed; !errors.Is(err, ErrSessionLost) {
			t.Error(err)
		}
	})
}

func TestPingIsAnswered(t *testing.T) {
	_, peer := rawPeer(t, false)
	if err := writeFrame(peer, makeHeader(typePing, flagSYN, 0, 4711)); err != nil {
		t.Fatal(err)
	}
	want := makeHeader(typePing, flagACK, 0, 4711)
	for {
		var h frameHeader
		if _, err := io.ReadFull(peer, h[:]); err != nil {
			t.Fatal(err)
		}
		if h == want {
			return
		}
		if h.frameType() != typePing { // its own
			t.Fatalf("got %x", h)
		}
	}
}

// stuckConn can be made to take no more bytes, as a socket does whose peer does
// not read. (Small socket buffers are no stand-in: one that is full drops the
// acknowledgements of the other direction too.)
type stuckConn struct {
	net.Conn
	stuck  atomic.Bool
	once   sync.Once
	closed chan struct{}
}

func (c *stuckConn) Write(p []byte) (int, error) {
	if c.stuck.Load() {
		<-c.closed
		return 0, net.ErrClosed
	}
	return c.Conn.Write(p)
}

func (c *stuckConn) Close() error {
	c.once.Do(func() { close(c.closed) })
	return c.Conn.Close()
}

func TestPingsWithoutReadingTheAnswersCostNothing(t *testing.T) {
	stuck := &stuckConn{closed: make(chan struct{})}
	s, peer := rawPeerOver(t, false, func(c net.Conn) net.Conn {
		stuck.Conn = c
		return stuck
	})
	stuck.stuck.Store(true)
	before := runtime.NumGoroutine()
	const pings = 200_000
	var chunk []byte
	for i := range uint32(1000) {
		h := makeHeader(typePing, flagSYN, 0, i)
		chunk = append(chunk, h[:]...)
	}
	for range pings / 1000 {
		if _, err := peer.Write(chunk); err != nil {
			t.Fatal(err)
		}
	}
	// A frame behind the pings shows that all of them were taken.
	if err := writeFrame(peer, makeHeader(typeWindowUpdate, flagSYN, 3, 0)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the stream behind the pings is opened", func() bool { return s.Streams() == 1 })
	if n := runtime.NumGoroutine() - before; n > 20 {
		t.Errorf("%d more goroutines", n)
	}
	s.out.mu.Lock()
	defer s.out.mu.Unlock()
	if b := s.out.urgent; b != nil && len(b.bytes) > urgentLimit+headerSize {
		t.Errorf("%d bytes of answers wait, more than %d", len(b.bytes), urgentLimit)
	}
}

func TestSessionWithoutStreamNumbersEnds(t *testing.T) {
	client, _ := sessionPair(t, Options{})
	client.mu.Lock()
	client.nextID = math.MaxUint32 // 2^31 streams later
	client.mu.Unlock()
	if _, err := client.Open(Open{Link: "x"}, nil); !errors.Is(err, ErrSessionLost) {
		t.Fatalf("%v, want ErrSessionLost: another session has numbers", err)
	}
	within(t, patience, "the session ends", func() { <-client.Done() })
}

func TestStreamsBeyondTheLimitHoldNoMemoryAndOneWarning(t *testing.T) {
	core, logs := observer.New(zap.WarnLevel)
	stuck := &stuckConn{closed: make(chan struct{})}
	s, peer := rawPeerWith(t, false, Options{MaxStreams: 1, Logger: zap.New(core)}, func(c net.Conn) net.Conn {
		stuck.Conn = c
		return stuck
	})
	stuck.stuck.Store(true)
	for id := uint32(3); s.Err() == nil && id < 1e6; id += 2 {
		if writeFrame(peer, makeHeader(typeWindowUpdate, flagSYN, id, 0)) != nil {
			break // the session has ended
		}
	}
	within(t, patience, "the session ends", func() { <-s.Done() })
	if err := s.Err(); !errors.Is(err, ErrProtocol) {
		t.Errorf("%v, want ErrProtocol: nobody reads the resets", err)
	}
	if n := logs.FilterMessageSnippet("too many streams").Len(); n != 1 {
		t.Errorf("%d warnings, want 1", n)
	}
}

// HTTP/2's "rapid reset": a stream that the peer has reset counts until its owner is
// done with it.
func TestStreamsThatThePeerResetsAreStillCounted(t *testing.T) {
	s, peer := rawPeerWith(t, false, Options{MaxStreams: 10}, func(c net.Conn) net.Conn { return c })
	answered := make(chan struct{})
	go func() {
		for want := makeHeader(typePing, flagACK, 0, 4711); ; {
			var h frameHeader
			if _, err := io.ReadFull(peer, h[:]); err != nil {
				return
			}
			if h == want {
				close(answered)
			}
		}
	}()
	var mu sync.Mutex
	var taken []*Stream
	s.Handle(func(st *Stream) {
		mu.Lock()
		defer mu.Unlock()
		taken = append(taken, st)
	})
	count := func() int {
		mu.Lock()
		defer mu.Unlock()
		return len(taken)
	}
	id := uint32(3)
	openAndReset := func(n int) {
		for range n {
			for _, h := range []frameHeader{makeHeader(typeWindowUpdate, flagSYN, id, 0), makeHeader(typeWindowUpdate, flagRST, id, 0)} {
				if err := writeFrame(peer, h); err != nil {
					t.Fatal(err)
				}
			}
			id += 2
		}
	}
	openAndReset(100)
	if err := writeFrame(peer, makeHeader(typePing, flagSYN, 0, 4711)); err != nil {
		t.Fatal(err)
	}
	within(t, patience, "all was taken", func() { <-answered })
	held := count()
	if held > 11 { // the control stream was accepted before
		t.Errorf("%d streams were handed out, the limit is 10", held)
	}
	for _, st := range taken {
		st.Reset("test")
		st.Close() // is counted once
	}
	openAndReset(1)
	eventually(t, "there is room again", func() bool { return count() > held })
}
