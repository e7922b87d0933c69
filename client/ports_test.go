package client

import (
	"context"
	"errors"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"ambassador/internal/link"
	"ambassador/internal/relay"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

// brokenListener fails as one does that is out of descriptors.
type brokenListener struct {
	net.Listener
	failures int64 // then it works; negative: for ever
	attempts atomic.Int64
	closed   chan struct{}
	once     sync.Once
}

var errBroken = errors.New("accept: too many open files")

func (l *brokenListener) Accept() (net.Conn, error) {
	select {
	case <-l.closed:
		return nil, net.ErrClosed
	default:
	}
	if n := l.attempts.Add(1); l.failures < 0 || n <= l.failures {
		return nil, errBroken
	}
	return l.Listener.Accept()
}

func (l *brokenListener) Addr() net.Addr {
	if l.Listener != nil {
		return l.Listener.Addr()
	}
	return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1}
}

func (l *brokenListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	if l.Listener != nil {
		return l.Listener.Close()
	}
	return nil
}

func TestAcceptErrorsDoNotSpin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		core, logs := observer.New(zap.DebugLevel)
		l := &brokenListener{failures: -1, closed: make(chan struct{})}
		f := &Forwarder{
			Forwards: []link.Forward{{Local: 1}}, Logger: zap.New(core),
			Listen: func(string, string) (net.Listener, error) { return l, nil },
		}
		ended := make(chan error, 1)
		go func() { ended <- f.ListenAndServe() }()
		<-time.After(59 * time.Second)
		if n := l.attempts.Load(); n < 30 || n > 200 {
			t.Errorf("%d attempts in a minute, want about one a second", n)
		}
		if n := logs.FilterLevelExact(zap.WarnLevel).Len(); n != 1 {
			t.Errorf("%d warnings in a minute, want 1", n)
		}
		began := time.Now()
		f.Close()
		if err := <-ended; !errors.Is(err, ErrClosed) || time.Since(began) > 0 {
			t.Errorf("%v after %v, want ErrClosed at once", err, time.Since(began))
		}
	})
}

func TestAcceptErrorsAreOutlived(t *testing.T) {
	target := echo(t)
	var opened atomic.Pointer[brokenListener]
	f := &Forwarder{
		Forwards: []link.Forward{{Target: target}},
		Listen: func(network, address string) (net.Listener, error) {
			l, err := listenTCP(network, address)
			if err != nil {
				return nil, err
			}
			b := &brokenListener{Listener: l, failures: 3, closed: make(chan struct{})}
			opened.Store(b)
			return b, nil
		},
	}
	ended := make(chan error, 1)
	go func() { ended <- f.ListenAndServe() }()
	eventually(t, "the port is open", func() bool { return opened.Load() != nil })
	echoes(t, consumer(t, opened.Load().Addr().String()))
	f.Close()
	if err := <-ended; !errors.Is(err, ErrClosed) {
		t.Fatal(err)
	}
}

func TestPortsAreOpenedAllOrNone(t *testing.T) {
	taken, err := listenTCP("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	busy, free := portOf(t, taken.Addr()), freePort(t)
	for name, run := range map[string]func() error{
		"connect": (&Client{Provider: "127.0.0.1:1", Expose: []link.Expose{{Port: free}, {Port: busy}}}).ListenAndServe,
		"forward": (&Forwarder{Forwards: []link.Forward{{Local: free}, {Local: busy}}}).ListenAndServe,
	} {
		t.Run(name, func(t *testing.T) {
			err := run()
			var wrong *ListenError
			if !errors.As(err, &wrong) || wrong.Address != "127.0.0.1:"+strconv.Itoa(int(busy)) || !errors.Is(err, syscall.EADDRINUSE) {
				t.Fatalf("%v, want a *ListenError of port %d", err, busy)
			}
			if has := strings.Contains(err.Error(), "--expose"); has != (name == "connect") {
				t.Errorf("%s: %v: the advice is the other command's", name, err)
			}
			l, err := listenTCP("tcp", "127.0.0.1:"+strconv.Itoa(int(free)))
			if err != nil {
				t.Fatalf("the other port is still held: %v", err)
			}
			l.Close()
		})
	}
}

func TestConsumerOfAClosedSetIsReset(t *testing.T) {
	p := newPorts(nil, zap.NewNop(), "")
	opened, err := p.open([]string{"127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	c := consumer(t, opened[0].Addr().String())
	// It is accepted when the set has been closed and its listeners not yet.
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	served := make(chan struct{})
	go func() {
		defer close(served)
		p.serve(opened[0], func(*relay.TCPEnd, func()) { t.Error("served") })
	}()
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("%v, want a reset", err)
	}
	opened[0].Close()
	<-served
}

func TestCloseBesideListenAndServe(t *testing.T) {
	for range 50 {
		f := &Forwarder{Forwards: []link.Forward{{}}}
		c := &Client{Provider: "127.0.0.1:1", Expose: []link.Expose{{Local: freePort(t), Port: 1}}}
		for run, end := range map[*func() error]func() error{ptr(f.ListenAndServe): f.Close, ptr(c.ListenAndServe): c.Close} {
			ended := make(chan error, 1)
			go func() { ended <- (*run)() }()
			if err := end(); err != nil {
				t.Fatal(err)
			}
			if err := <-ended; !errors.Is(err, ErrClosed) {
				t.Fatal(err)
			}
		}
	}
}

func ptr(f func() error) *func() error { return &f }

func TestShutdownOutOfTimeWithoutConsumersCutsNobody(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for range 20 {
		f := &Forwarder{Forwards: []link.Forward{{}}}
		ended := make(chan error, 1)
		go func() { ended <- f.ListenAndServe() }()
		if err := f.Shutdown(ctx); err != nil {
			t.Fatal(err)
		}
		<-ended
	}
}

func TestWarningsOfTwoPortsAreTwo(t *testing.T) {
	core, logs := observer.New(zap.DebugLevel)
	var seen causes
	for range 3 {
		for _, port := range []string{"127.0.0.1:1", "127.0.0.1:2"} {
			seen.warn(zap.New(core), "consumer reset", port, io.ErrUnexpectedEOF)
		}
	}
	if n := logs.FilterLevelExact(zap.WarnLevel).Len(); n != 2 || logs.Len() != 6 {
		t.Fatalf("%d warnings of %d lines, want 2 of 6", n, logs.Len())
	}
}
