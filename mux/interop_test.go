package mux

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"testing"

	"github.com/hashicorp/yamux"
)

// The wire format is yamux's: a session and the yamux library understand each
// other.

// yamuxPeer gives a session and the library's at the other end of a connection.
func yamuxPeer(t *testing.T, isClient bool) (*Session, *yamux.Session) {
	t.Helper()
	a, b := tcpPair(t)
	config := testTLS().Clone()
	config.NextProtos = []string{Protocol}
	o := yamux.DefaultConfig()
	o.LogOutput = io.Discard
	o.MaxStreamWindowSize = 1 << 20
	peers := make(chan *yamux.Session, 1)
	go func() {
		defer close(peers)
		var p *yamux.Session
		var err error
		if isClient {
			p, err = yamux.Server(tls.Server(b, config), o)
		} else {
			p, err = yamux.Client(tls.Client(b, config), o)
		}
		if err != nil {
			t.Error(err)
			return
		}
		if !isClient { // the control stream
			if _, err := p.Open(); err != nil {
				t.Error(err)
			}
		}
		peers <- p
	}()
	start := Server
	if isClient {
		start = Client
	}
	s, err := start(t.Context(), a, testTLS(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	p := <-peers
	t.Cleanup(func() {
		p.Close()
		s.Close()
	})
	return s, p
}

func TestSpeaksWithTheYamuxLibrary(t *testing.T) {
	t.Run("as its server", func(t *testing.T) {
		s, p := yamuxPeer(t, false)
		theirs, err := p.Open()
		if err != nil {
			t.Fatal(err)
		}
		ours, err := s.Accept()
		if err != nil {
			t.Fatal(err)
		}
		both(t, ours, theirs)
	})
	t.Run("as its client", func(t *testing.T) {
		s, p := yamuxPeer(t, true)
		if err := s.Control().Send(Message{Kind: KindHello}); err != nil {
			t.Fatal(err)
		}
		if _, err := p.Accept(); err != nil {
			t.Fatal(err)
		}
		ours, err := s.openStream(nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ours.Write([]byte("first")); err != nil {
			t.Fatal(err)
		}
		theirs, err := p.Accept()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(theirs, make([]byte, 5)); err != nil {
			t.Fatal(err)
		}
		both(t, ours, theirs)
	})
	t.Run("resets", func(t *testing.T) {
		s, p := yamuxPeer(t, false)
		theirs, err := p.Open()
		if err != nil {
			t.Fatal(err)
		}
		ours, err := s.Accept()
		if err != nil {
			t.Fatal(err)
		}
		ours.Reset("test")
		if _, err := theirs.Read(make([]byte, 1)); !errors.Is(err, yamux.ErrConnectionReset) {
			t.Fatal(err)
		}
	})
}

// both sends more than a window each way, at once, and ends in order.
func both(t *testing.T, ours *Stream, theirs io.ReadWriteCloser) {
	t.Helper()
	data := bytes.Repeat([]byte("0123456789abcdef"), 3<<20/16)
	go func() {
		theirs.Write(data)
		theirs.Close() // its half close
	}()
	go func() {
		ours.Write(data)
		ours.CloseWrite()
	}()
	theirGot := make(chan []byte, 1)
	go func() {
		b, _ := io.ReadAll(theirs)
		theirGot <- b
	}()
	if got, err := io.ReadAll(ours); err != nil || !bytes.Equal(got, data) {
		t.Errorf("we read %d bytes, %v; want %d", len(got), err, len(data))
	}
	if got := <-theirGot; !bytes.Equal(got, data) {
		t.Errorf("they read %d bytes, want %d", len(got), len(data))
	}
}
