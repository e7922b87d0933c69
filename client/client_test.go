package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"ambassador/internal/link"
	"ambassador/mux"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
)

func welcome(offers ...mux.Offer) mux.Message {
	return mux.Message{Kind: mux.KindWelcome, Links: offers}
}

func TestExposesThatDoNotFitEndTheClient(t *testing.T) {
	a, b := freePort(t), freePort(t)
	p := provide(t, welcome(
		mux.Offer{Name: "redis", Ports: []uint16{a}},
		mux.Offer{Name: "cache", Ports: []uint16{a}},
		mux.Offer{Name: "mq", Ports: []uint16{a, b}},
	))
	port, second := strconv.Itoa(int(a)), strconv.Itoa(int(b))
	for name, c := range map[string]struct {
		expose     []link.Expose
		ambiguous  bool
		candidates []string
	}{
		"a port of several links":               {[]link.Expose{{Port: a}}, true, []string{"redis:" + port, "cache:" + port, "mq:" + port}},
		"one local port for several ports":      {[]link.Expose{{Local: freePort(t), Link: "mq"}}, true, []string{"mq:" + port, "mq:" + second}},
		"two links on one local port":           {[]link.Expose{{Link: "redis"}, {Link: "cache"}}, false, nil},
		"a local port that is taken by another": {[]link.Expose{{Local: b, Link: "redis", Port: a}, {Link: "mq"}}, false, nil},
	} {
		t.Run(name, func(t *testing.T) {
			cl := &Client{Provider: p.address, Expose: c.expose}
			ended := run(t, cl)
			var err error
			select {
			case err = <-ended:
			case <-time.After(patience):
				t.Fatal("the client goes on")
			}
			var wrong *ExposeError
			if !errors.As(err, &wrong) || wrong.Ambiguous != c.ambiguous || !slices.Equal(wrong.Candidates, c.candidates) {
				t.Fatalf("%v (%+v); want ambiguous %v, candidates %v", err, wrong, c.ambiguous, c.candidates)
			}
			for _, addr := range cl.Addrs() {
				if c, err := net.Dial("tcp", addr.String()); err == nil {
					c.Close()
					t.Errorf("%v is still open", addr)
				}
			}
		})
	}
}

func TestExposesThatFit(t *testing.T) {
	a, b, local := freePort(t), freePort(t), freePort(t)
	offers := []mux.Offer{{Name: "redis", Ports: []uint16{a}}, {Name: "mq", Ports: []uint16{b}}}
	for name, c := range map[string]struct {
		expose []link.Expose
		open   []uint16
	}{
		"nothing means all":           {nil, []uint16{a, b}},
		"a port":                      {[]link.Expose{{Port: a}}, []uint16{a}},
		"a link":                      {[]link.Expose{{Link: "mq"}}, []uint16{b}},
		"a local port for a link":     {[]link.Expose{{Local: local, Link: "redis"}}, []uint16{local}},
		"the same word twice":         {[]link.Expose{{Link: "redis"}, {Link: "redis"}}, []uint16{a}},
		"the same port by two names":  {[]link.Expose{{Port: a}, {Link: "redis"}}, []uint16{a}},
		"one link on two local ports": {[]link.Expose{{Local: local, Link: "redis"}, {Link: "redis"}}, []uint16{local, a}},
	} {
		t.Run(name, func(t *testing.T) {
			cl := &Client{Provider: provide(t, welcome(offers...)).address, Expose: c.expose}
			run(t, cl)
			bound(t, cl)
			var open []uint16
			for _, addr := range cl.Addrs() {
				open = append(open, portOf(t, addr))
				echoes(t, consumer(t, addr.String()))
			}
			if !slices.Equal(open, c.open) {
				t.Errorf("open: %v, want %v", open, c.open)
			}
		})
	}
}

// Who exposes nothing by name has not asked for two links on one port: the first
// gets it, the rest is exposed, and the log tells.
func TestGrantedLinksThatShareAPort(t *testing.T) {
	a, b, later := freePort(t), freePort(t), freePort(t)
	p := provide(t, welcome(mux.Offer{Name: "mq", Ports: []uint16{a}}, mux.Offer{Name: "redis", Ports: []uint16{a, b}}))
	core, logs := observer.New(zap.WarnLevel)
	cl := &Client{Provider: p.address, Logger: zap.New(core)}
	run(t, cl)
	bound(t, cl)
	open := func() (all []uint16) {
		for _, addr := range cl.Addrs() {
			all = append(all, portOf(t, addr))
			echoes(t, consumer(t, addr.String()))
		}
		return all
	}
	if got := open(); !slices.Equal(got, []uint16{a, b}) {
		t.Errorf("open: %v, want %v", got, []uint16{a, b})
	}
	told := logs.FilterMessage("not all that the provider grants can be exposed").All()
	if len(told) != 1 || !strings.Contains(fmt.Sprint(told[0].ContextMap()), "redis:"+portText(a)) {
		t.Errorf("told %v; want one line about redis:%d", told, a)
	}
	// And what is granted later is not kept back by it.
	err := p.session(t).Control().Send(mux.Message{Kind: mux.KindLinks, Links: []mux.Offer{
		{Name: "db", Ports: []uint16{a, later}}, {Name: "mq", Ports: []uint16{a}}, {Name: "redis", Ports: []uint16{a, b}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the new port is open", func() bool { return slices.Contains(open(), later) })
}

// A port that is not granted now may be granted later: the client stays, and its
// consumers are reset.
func TestPortThatIsNotGrantedResetsItsConsumers(t *testing.T) {
	local := freePort(t)
	cl := &Client{Provider: provide(t, welcome()).address, Expose: []link.Expose{{Local: local, Link: "redis", Port: 6379}}}
	run(t, cl)
	bound(t, cl)
	c := consumer(t, cl.Addrs()[0].String())
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Fatalf("%v, want a reset", err)
	}
}

// Nor does a link that is not granted yet keep the others from being exposed,
// whose port only the provider knows.
func TestExposedLinkThatIsGrantedLater(t *testing.T) {
	a, b := freePort(t), freePort(t)
	redis, mq := mux.Offer{Name: "redis", Ports: []uint16{a}}, mux.Offer{Name: "mq", Ports: []uint16{b}}
	p := provide(t, welcome(redis))
	core, logs := observer.New(zap.WarnLevel)
	cl := &Client{Provider: p.address, Expose: []link.Expose{{Link: "mq"}, {Link: "redis"}}, Logger: zap.New(core)}
	run(t, cl)
	s := p.session(t)
	eventually(t, "the other link's port is open", func() bool { return len(cl.Addrs()) == 1 })
	if logs.FilterMessage("not available from this provider").Len() != 1 {
		t.Errorf("%v; want one line about the link that is missing", logs.All())
	}
	select {
	case <-cl.Bound():
		t.Error("bound without a link's port")
	default:
	}
	if err := s.Control().Send(mux.Message{Kind: mux.KindLinks, Links: []mux.Offer{redis, mq}}); err != nil {
		t.Fatal(err)
	}
	bound(t, cl)
	for _, port := range []uint16{a, b} {
		echoes(t, consumer(t, "127.0.0.1:"+portText(port)))
	}
}

func TestLinksThatAreGrantedLaterAreOpened(t *testing.T) {
	a, b := freePort(t), freePort(t)
	redis, mq := mux.Offer{Name: "redis", Ports: []uint16{a}}, mux.Offer{Name: "mq", Ports: []uint16{b}}
	p := provide(t, welcome(redis))
	cl := &Client{Provider: p.address}
	run(t, cl)
	bound(t, cl)
	if err := p.session(t).Control().Send(mux.Message{Kind: mux.KindLinks, Links: []mux.Offer{redis, mq}}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the new port is open", func() bool { return len(cl.Addrs()) == 2 })
	for _, addr := range cl.Addrs() {
		echoes(t, consumer(t, addr.String()))
	}
}

// A port that is granted while a session lives has consumers as soon as it is
// open, before the last of the new ports is.
func TestFirstConsumerOfALinkGrantedLater(t *testing.T) {
	a, b, c := freePort(t), freePort(t), freePort(t)
	redis, mq := mux.Offer{Name: "redis", Ports: []uint16{a}}, mux.Offer{Name: "mq", Ports: []uint16{b, c}}
	p := provide(t, welcome(redis))
	first := consumerOf(b)
	opened, served := 0, make(chan error, 1)
	log := zap.New(zapcore.NewCore(zapcore.NewJSONEncoder(zapcore.EncoderConfig{}), zapcore.AddSync(io.Discard), zap.InfoLevel), zap.Hooks(func(e zapcore.Entry) error {
		if e.Message == "local port open" {
			if opened++; opened == 3 { // the first of the two new ones accepts
				served <- first()
			}
		}
		return nil
	}))
	cl := &Client{Provider: p.address, Logger: log}
	run(t, cl)
	bound(t, cl)
	if err := p.session(t).Control().Send(mux.Message{Kind: mux.KindLinks, Links: []mux.Offer{redis, mq}}); err != nil {
		t.Fatal(err)
	}
	if err := <-served; err != nil {
		t.Fatal("the first consumer:", err)
	}
}

// consumerOf is a consumer of one word on a local port.
func consumerOf(port uint16) func() error {
	return func() error {
		c, err := net.DialTimeout("tcp", "127.0.0.1:"+strconv.Itoa(int(port)), patience)
		if err != nil {
			return err
		}
		defer c.Close()
		if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
			return err
		}
		return tryEcho(c)
	}
}

func TestSessionComesBack(t *testing.T) {
	for name, end := range map[string]func(*mux.Session) error{
		"lost":    (*mux.Session).Close,
		"drained": func(s *mux.Session) error { return s.Control().Send(mux.Message{Kind: mux.KindDrain}) },
		"a message of a later version": func(s *mux.Session) error {
			return s.Control().Send(mux.Message{Kind: "unknown"})
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := provide(t, welcome(mux.Offer{Name: "redis", Ports: []uint16{freePort(t)}}))
			cl := &Client{Provider: p.address}
			run(t, cl)
			bound(t, cl)
			running := consumer(t, cl.Addrs()[0].String())
			echoes(t, running)
			if err := end(p.session(t)); err != nil {
				t.Fatal(err)
			}
			if name == "lost" || name == "drained" {
				p.session(t)
			}
			if name == "lost" {
				if _, err := running.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
					t.Errorf("a running consumer: %v, want a reset", err)
				}
			} else {
				echoes(t, running) // goes on, beside the new session
			}
			echoes(t, consumer(t, cl.Addrs()[0].String()))
		})
	}
}

func TestRefusedClientSaysWhy(t *testing.T) {
	why := make(chan error, 10)
	cl := &Client{
		Provider: provide(t, mux.Message{Kind: mux.KindRefuse, Reason: "not today"}).address,
		Explain: func(err error) string {
			select {
			case why <- err:
			default:
			}
			return err.Error()
		},
	}
	run(t, cl)
	if err := <-why; !errors.Is(err, ErrRefused) {
		t.Fatalf("%v, want ErrRefused", err)
	}
}

func TestCloseIsForEverybody(t *testing.T) {
	cl := &Client{Provider: provide(t, welcome(mux.Offer{Name: "redis", Ports: []uint16{freePort(t)}})).address}
	ended := run(t, cl)
	bound(t, cl)
	running := consumer(t, cl.Addrs()[0].String())
	echoes(t, running)
	closed := make(chan error, 4)
	for range cap(closed) {
		go func() { closed <- cl.Close() }()
	}
	for range cap(closed) {
		if err := <-closed; err != nil {
			t.Error(err)
		}
	}
	if err := <-ended; !errors.Is(err, ErrClosed) {
		t.Errorf("ListenAndServe: %v, want ErrClosed", err)
	}
	if _, err := running.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("a running consumer: %v, want a reset", err)
	}
	if err := cl.ListenAndServe(); !errors.Is(err, ErrClosed) {
		t.Errorf("ListenAndServe after Close: %v, want ErrClosed", err)
	}
}

func TestShutdownWaitsForConsumers(t *testing.T) {
	cl := &Client{Provider: provide(t, welcome(mux.Offer{Name: "redis", Ports: []uint16{freePort(t)}})).address}
	ended := run(t, cl)
	bound(t, cl)
	running := consumer(t, cl.Addrs()[0].String())
	echoes(t, running)
	down := make(chan error, 1)
	go func() { down <- cl.Shutdown(context.Background()) }()
	eventually(t, "the port is closed", func() bool {
		c, err := net.Dial("tcp", cl.Addrs()[0].String())
		if err == nil {
			c.Close()
		}
		return err != nil
	})
	echoes(t, running)
	if err := running.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(<-down, <-ended); !errors.Is(err, ErrClosed) {
		t.Fatal(err)
	}
}

// Before the first attempt has failed there is a reason too.
func TestNoSessionYetSaysSo(t *testing.T) {
	cl := &Client{Provider: "big-server:7000"}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := cl.Session(ctx)
	if !errors.Is(err, ErrNoSession) || !strings.Contains(err.Error(), "still connecting to big-server:7000") {
		t.Fatal(err)
	}
}
