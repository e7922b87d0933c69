package server

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"io"
	"net"
	"reflect"
	"testing"
	"time"

	"ambassador/internal/link"
	"ambassador/mux"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

func TestClientUsesWhatItWasGrantedAndNoMore(t *testing.T) {
	s := serve(t, &Server{
		Links:     []link.Link{echo(t, "redis", 6379), echo(t, "mq", 5672)},
		Authorize: grants(map[string][]string{"client/one": {"redis"}, "client/all": {"*"}, "client/none": nil}),
	})
	redis, mq := mux.Offer{Name: "redis", Ports: []uint16{6379}}, mux.Offer{Name: "mq", Ports: []uint16{5672}}
	for name, want := range map[string][]mux.Offer{"client/one": {redis}, "client/all": {mq, redis}, "client/none": nil} {
		_, answer := s.connect(t, name)
		if answer.Kind != mux.KindWelcome || !reflect.DeepEqual(answer.Links, want) {
			t.Errorf("%s is answered %+v, want a welcome with %v", name, answer, want)
		}
	}
	m, _ := s.connect(t, "client/one")
	echoes(t, open(t, m, "redis", 6379))
	// A client learns nothing about links that it was not granted: the refusals
	// are the same to the byte.
	want := mux.RefusedError{Refusal: mux.RefusedNoLink}
	for _, o := range []mux.Open{{Link: "mq", Port: 5672}, {Link: "mq", Port: 1}, {Link: "nothing", Port: 5672}, {Link: "redis", Port: 1}, {Link: "*", Port: 6379}, {}} {
		if got := refusal(t, open(t, m, o.Link, o.Port)); got != want {
			t.Errorf("%s:%d is refused with %+v, want %+v", o.Link, o.Port, got, want)
		}
	}
	echoes(t, open(t, m, "redis", 6379))
}

func TestBackendThatIsTheProviderItself(t *testing.T) {
	s := &Server{}
	l := listen(t)
	defer l.Close()
	s.Links = []link.Link{linkTo("circle", 7000, l.Addr())}
	run := serve(t, s)
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }() // a second listener of the same server
	eventually(t, "the second listener is served", func() bool { return s.isOwn(l.Addr().(*net.TCPAddr).AddrPort()) })
	m, _ := run.connect(t, "client/c")
	if got := refusal(t, open(t, m, "circle", 7000)); got.Refusal != mux.RefusedBackend || got.Reason != dialReason(link.ErrSelf) {
		t.Fatalf("%+v", got)
	}
	s.Close()
	<-served
}

func TestListenerIsAddedWhileSessionsDial(t *testing.T) {
	s := serve(t, &Server{Links: []link.Link{echo(t, "redis", 6379)}})
	m, _ := s.connect(t, "client/c")
	more := listen(t)
	served := make(chan error, 1)
	go func() { served <- s.Serve(more) }()
	for range 10 {
		echoes(t, open(t, m, "redis", 6379))
	}
	s.Close()
	<-served
}

func TestBackendThatRefuses(t *testing.T) {
	l := listen(t)
	l.Close()
	core, logs := observer.New(zap.DebugLevel)
	s := serve(t, &Server{Links: []link.Link{linkTo("down", 80, l.Addr())}, Logger: zap.New(core)})
	m, _ := s.connect(t, "client/c")
	for range 5 {
		st, err := m.Open(mux.Open{Link: "down", Port: 80, Hold: 200 * time.Millisecond}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := refusal(t, st); got != (mux.RefusedError{Refusal: mux.RefusedBackendRefused, Reason: "connection refused"}) {
			t.Fatalf("%+v", got)
		}
	}
	for range 5 {
		refusal(t, open(t, m, "nothing", 80))
	}
	for _, msg := range []string{"backend not reached", "stream refused: no such link, or not granted"} {
		all := logs.FilterMessage(msg)
		if all.Len() != 5 || all.FilterLevelExact(zap.WarnLevel).Len() != 1 {
			t.Errorf("%q: %d lines, %d of them warnings; want 5 and 1", msg, all.Len(), all.FilterLevelExact(zap.WarnLevel).Len())
		}
	}
}

func TestConsumerThatGoesWhileItsBackendIsDialledIsNoWarning(t *testing.T) {
	dialling := make(chan struct{}, 1)
	resolver := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		select {
		case dialling <- struct{}{}:
		default:
		}
		<-ctx.Done()
		return nil, ctx.Err()
	}}
	core, logs := observer.New(zap.DebugLevel)
	slow := link.Link{Name: "slow", Ports: []link.Port{{Number: 1, Target: link.Target{Host: "nowhere.test", Port: 1}}}}
	s := serve(t, &Server{Links: []link.Link{slow}, Dialer: link.Dialer{Resolver: resolver}, Logger: zap.New(core)})
	m, _ := s.connect(t, "client/c")
	st, err := m.Open(mux.Open{Link: "slow", Port: 1, Hold: patience}, nil)
	if err != nil {
		t.Fatal(err)
	}
	<-dialling
	st.Reset("consumer gone")
	eventually(t, "the dial is given up", func() bool {
		return logs.FilterMessage("consumer gone before the backend was reached").Len() == 1
	})
	if warnings := logs.FilterLevelExact(zap.WarnLevel).All(); len(warnings) > 0 {
		t.Errorf("warned: %v", warnings)
	}
}

// frames writes what no mux.Session would, in yamux's format: version, type,
// flags, stream, length.
type frames struct{ *tls.Conn }

const (
	frameData, frameWindow = 0, 1
	flagSYN, flagRST       = 1, 8
)

func (f frames) write(t *testing.T, kind byte, flags uint16, stream uint32, body string) {
	t.Helper()
	h := make([]byte, 12, 12+len(body))
	h[1] = kind
	binary.BigEndian.PutUint16(h[2:], flags)
	binary.BigEndian.PutUint32(h[4:], stream)
	binary.BigEndian.PutUint32(h[8:], uint32(len(body)))
	if _, err := f.Write(append(h, body...)); err != nil {
		t.Fatal(err)
	}
}

// until reads frames of one stream: its data, until there is as much as wanted
// or the stream is reset.
func (f frames) until(t *testing.T, stream uint32, want int) (data string, reset bool) {
	t.Helper()
	for {
		var h [12]byte
		if _, err := io.ReadFull(f, h[:]); err != nil {
			t.Fatal(err)
		}
		var body []byte
		if h[1] == frameData {
			body = make([]byte, binary.BigEndian.Uint32(h[8:]))
			if _, err := io.ReadFull(f, body); err != nil {
				t.Fatal(err)
			}
		}
		if binary.BigEndian.Uint32(h[4:]) != stream {
			continue
		}
		data += string(body)
		if binary.BigEndian.Uint16(h[2:])&flagRST != 0 {
			return data, true
		}
		if len(data) >= want {
			return data, false
		}
	}
}

func TestBadOpenHeaderHarmsOnlyItsStream(t *testing.T) {
	s := serve(t, &Server{Links: []link.Link{echo(t, "redis", 6379)}})
	config := testCA().config(t, "client/c")
	config.NextProtos = []string{mux.Protocol}
	f := frames{tls.Client(s.dial(t), config)}
	f.write(t, frameWindow, flagSYN, 1, "")
	f.write(t, frameData, 0, 1, `{"kind":"hello"}`+"\n")
	f.until(t, 1, len(`{"kind":`))
	refused := string([]byte{byte(mux.RefusedRequest), 0})
	stream := uint32(1)
	for name, header := range map[string]string{
		"garbage":           "GET / HTTP/1.1\r\n\r\n",
		"unknown version":   "\x02\x00\x09\x06\x18\xeb\x00\x00\x00\x00\x00\x00",
		"oversized":         "\x01\xff\xff" + string(make([]byte, 1000)),
		"unknown transport": "\x01\x00\x09\x11\x18\xeb\x00\x00\x00\x00\x00\x00",
		"cut off":           "\x01\x00\x0b\x06\x18\xeb\x00\x00\x00\x00\xff" + "redis",
	} {
		stream += 2
		f.write(t, frameWindow, flagSYN, stream, "")
		f.write(t, frameData, 0, stream, header)
		if data, reset := f.until(t, stream, 1000); data != refused || !reset {
			t.Errorf("%s: answered %q, reset: %v; want %q and a reset", name, data, reset, refused)
		}
	}
	stream += 2
	f.write(t, frameWindow, flagSYN, stream, "")
	f.write(t, frameData, 0, stream, "\x01\x00\x0e\x06\x18\xeb\x00\x00\x00\x00\x05redis\x00"+"hello")
	if data, reset := f.until(t, stream, 6); data != "\x00hello" || reset {
		t.Fatalf("the session does not live: %q, reset: %v", data, reset)
	}
}
