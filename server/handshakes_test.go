package server

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"testing"
	"time"

	"ambassador/internal/link"
	"ambassador/mux"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

func TestSilentConnectionsKeepNobodyOut(t *testing.T) {
	s := serve(t, &Server{Links: []link.Link{echo(t, "redis", 6379)}})
	const silent = 300 // more than the default of MaxHandshakes
	var conns []net.Conn
	for range silent {
		conns = append(conns, s.dial(t))
	}
	began := time.Now()
	m, _ := s.connect(t, "client/c")
	echoes(t, open(t, m, "redis", 6379))
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("a client got in after %v", took)
	}
	// The oldest were closed and the youngest were not.
	if _, err := conns[0].Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the oldest: %v, want its end", err)
	}
	s.handshakes.mu.Lock()
	held := s.handshakes.oldest.Len()
	s.handshakes.mu.Unlock()
	if held < defaultMaxHandshakes-1 || held > defaultMaxHandshakes {
		t.Errorf("%d connections are held, want about %d", held, defaultMaxHandshakes)
	}
}

func TestOldestHandshakeGivesWay(t *testing.T) {
	h := handshakes{max: 2}
	ended := make([]bool, 4)
	leave := make([]func(), 4)
	for i := range leave {
		leave[i] = h.enter(addr("192.0.2.1"), func() { ended[i] = true })
	}
	if want := [4]bool{true, true, false, false}; [4]bool(ended) != want {
		t.Fatalf("ended: %v, want %v", ended, want)
	}
	for _, f := range leave { // those that were ended leave too
		f()
	}
	if h.oldest.Len() != 0 {
		t.Fatalf("%d left", h.oldest.Len())
	}
	h.enter(addr("192.0.2.1"), func() {})
}

func addr(ip string) net.Addr {
	return net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(ip), 40000))
}

// A flood from one network costs that network its places, and nobody else.
func TestNetworkWithMostHandshakesGivesWay(t *testing.T) {
	for name, tc := range map[string]struct {
		from []string // in the order in which they come
		want []int    // those that are ended
	}{
		"a flood beside a client": {
			[]string{"192.0.2.9", "192.0.2.1", "192.0.2.1", "192.0.2.1", "192.0.2.1", "192.0.2.1", "192.0.2.1"},
			[]int{1, 2, 3},
		},
		"a client that comes into a flood": {
			[]string{"192.0.2.1", "192.0.2.1", "192.0.2.1", "192.0.2.1", "192.0.2.9", "192.0.2.1"},
			[]int{0, 1},
		},
		"a flood from all over a /64": {
			[]string{"2001:db8::9", "2001:db8:0:1::1", "2001:db8:0:1::2", "2001:db8:0:1::3", "2001:db8:0:1::4"},
			[]int{1},
		},
		"one address in two spellings": {
			[]string{"192.0.2.9", "::ffff:192.0.2.1", "192.0.2.1", "192.0.2.8", "192.0.2.7"},
			[]int{1},
		},
		"equals": {
			[]string{"192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4", "192.0.2.5", "192.0.2.6"},
			[]int{0, 1},
		},
		"equals of two": {
			[]string{"192.0.2.1", "192.0.2.2", "192.0.2.2", "192.0.2.1", "192.0.2.3"},
			[]int{0},
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := handshakes{max: 4}
			var ended []int
			var leave []func()
			for i, from := range tc.from {
				leave = append(leave, h.enter(addr(from), func() { ended = append(ended, i) }))
			}
			if !slices.Equal(ended, tc.want) {
				t.Errorf("ended %v, want %v", ended, tc.want)
			}
			for _, f := range leave {
				f()
			}
			if h.oldest.Len() != 0 || len(h.count) != 0 {
				t.Errorf("%d left of %v", h.oldest.Len(), h.count)
			}
		})
	}
}

func TestHandshakeThatTakesTooLong(t *testing.T) {
	config := testCA().config(t, "client/c")
	config.NextProtos = []string{mux.Protocol}
	for name, conn := range map[string]func(net.Conn) net.Conn{
		"says nothing":             func(c net.Conn) net.Conn { return c },
		"shakes hands and no more": func(c net.Conn) net.Conn { return tls.Client(c, config) },
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, &Server{HandshakeTimeout: 100 * time.Millisecond})
			c := conn(s.dial(t))
			if _, err := io.Copy(io.Discard, c); errors.Is(err, os.ErrDeadlineExceeded) {
				t.Fatal("the connection was not ended")
			}
		})
	}
}

func TestSessionThatSaysNoHello(t *testing.T) {
	for name, m := range map[string]mux.Message{"another kind": {Kind: mux.KindDrain}, "no kind": {}} {
		t.Run(name, func(t *testing.T) {
			core, logs := observer.New(zap.InfoLevel)
			s := serve(t, &Server{Logger: zap.New(core)})
			session, err := mux.Client(t.Context(), s.dial(t), testCA().config(t, "client/c"), mux.Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer session.Close()
			if err := session.Control().Send(m); err != nil {
				t.Fatal(err)
			}
			within(t, "the session ends", func() { <-session.Done() })
			s.Close()
			if logs.Len() > 0 {
				t.Errorf("a stranger is worth %v", logs.All())
			}
		})
	}
}

func TestClientThatIsNotAuthorized(t *testing.T) {
	core, logs := observer.New(zap.DebugLevel)
	s := serve(t, &Server{Authorize: grants(nil), Logger: zap.New(core)})
	for range 3 {
		m, answer := s.connect(t, "client/stranger")
		if answer.Kind != mux.KindRefuse || answer.Reason == "" || answer.Links != nil {
			t.Fatalf("answered %+v, want a refusal with a reason", answer)
		}
		within(t, "the session ends", func() { <-m.Done() })
	}
	s.Close()
	all := logs.FilterMessage("client refused")
	if all.Len() != 3 || all.FilterLevelExact(zap.WarnLevel).Len() != 1 {
		t.Errorf("%d lines, %d of them warnings; want 3 and 1", all.Len(), all.FilterLevelExact(zap.WarnLevel).Len())
	}
	if again := logs.FilterMessage("connection refused before it was authenticated").Len(); again > 0 {
		t.Errorf("and %d lines that say the same", again)
	}
}

func TestForeignCertificateGetsNoSession(t *testing.T) {
	asked := make(chan struct{}, 1)
	s := serve(t, &Server{Authorize: func(tls.ConnectionState) (Peer, error) {
		asked <- struct{}{}
		return Peer{Links: []string{"*"}}, nil
	}})
	config := testCA().config(t, "client/c")
	config.Certificates = nil
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	m, err := mux.Client(ctx, s.dial(t), config, mux.Options{})
	if err == nil { // TLS 1.3: the refusal shows at the first read
		_, err = m.Control().Receive()
		m.Close()
	}
	if err == nil {
		t.Error("a client without a certificate was answered")
	}
	s.Close()
	if len(asked) > 0 {
		t.Error("Authorize was asked about a client without a certificate")
	}
}
