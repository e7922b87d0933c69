package server

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"ambassador/internal/link"
	"ambassador/mux"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

func TestCloseEndsEverything(t *testing.T) {
	s := serve(t, &Server{Links: []link.Link{echo(t, "redis", 6379)}})
	m, _ := s.connect(t, "client/c")
	st := open(t, m, "redis", 6379)
	echoes(t, st)
	silent := s.dial(t)
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	within(t, "all calls of Close", all.Wait)
	s.mustEnd(t)
	if _, err := st.Read(make([]byte, 1)); mux.ResetReason(err) != "drain-timeout" && !errors.Is(err, mux.ErrSessionLost) {
		t.Errorf("a running stream: %v, want a reset that says so, or ErrSessionLost", err)
	}
	if _, err := silent.Read(make([]byte, 1)); err == nil {
		t.Error("a connection without a session is still open")
	}
	if _, err := net.Dial("tcp", s.address); err == nil {
		t.Error("the listener is still open")
	}
	if err := s.Shutdown(t.Context()); err != nil {
		t.Error("Shutdown after Close:", err)
	}
}

func TestServeAfterClose(t *testing.T) {
	for name, end := range map[string]func(*Server) error{
		"Close":    (*Server).Close,
		"Shutdown": func(s *Server) error { return s.Shutdown(context.Background()) },
	} {
		t.Run(name, func(t *testing.T) {
			s := &Server{}
			if err := end(s); err != nil {
				t.Fatal(err)
			}
			l := listen(t)
			if err := s.Serve(l); !errors.Is(err, ErrClosed) {
				t.Fatalf("%v, want ErrClosed", err)
			}
			if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
				t.Fatalf("the listener: %v, want it closed", err)
			}
		})
	}
}

func TestCloseBesideServe(t *testing.T) {
	for range 50 {
		s := &Server{TLSConfig: &tls.Config{}}
		l := listen(t)
		ended := make(chan error, 1)
		go func() { ended <- s.Serve(l) }()
		s.Close()
		if err := <-ended; !errors.Is(err, ErrClosed) {
			t.Fatal(err)
		}
	}
}

func TestShutdownLetsStreamsEnd(t *testing.T) {
	s := serve(t, &Server{Links: []link.Link{echo(t, "redis", 6379)}})
	m, _ := s.connect(t, "client/c")
	st := open(t, m, "redis", 6379)
	echoes(t, st)
	down := make(chan error, 1)
	go func() { down <- s.Shutdown(t.Context()) }()
	if word, err := m.Control().Receive(); err != nil || word.Kind != mux.KindDrain {
		t.Fatalf("%+v, %v; want to be told to drain", word, err)
	}
	s.mustEnd(t)
	select {
	case err := <-down:
		t.Fatal("Shutdown did not wait for a stream:", err)
	default:
	}
	echoes(t, st)
	if err := st.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, st); err != nil {
		t.Fatal(err)
	}
	within(t, "Shutdown ends", func() {
		if err := <-down; err != nil {
			t.Error(err)
		}
	})
}

func TestShutdownThatRunsOutOfTime(t *testing.T) {
	for name, c := range map[string]struct {
		streams bool
		want    error
	}{
		"with a stream":   {true, context.Canceled},
		"without streams": {false, nil}, // nothing was cut
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, &Server{Links: []link.Link{echo(t, "redis", 6379)}})
			m, _ := s.connect(t, "client/c")
			if c.streams {
				echoes(t, open(t, m, "redis", 6379))
			}
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			if err := s.Shutdown(ctx); !errors.Is(err, c.want) || (err == nil) != (c.want == nil) {
				t.Fatalf("%v, want %v", err, c.want)
			}
			within(t, "the session ends", func() { <-m.Done() })
		})
	}
}

// A stream that crosses the word to drain is served, for as long as it takes.
func TestStreamThatCrossesTheDrainIsServed(t *testing.T) {
	s := serve(t, &Server{Links: []link.Link{echo(t, "redis", 6379)}})
	m, _ := s.connect(t, "client/c")
	down := make(chan error, 1)
	go func() { down <- s.Shutdown(t.Context()) }()
	if word, err := m.Control().Receive(); err != nil || word.Kind != mux.KindDrain {
		t.Fatalf("%+v, %v", word, err)
	}
	st := open(t, m, "redis", 6379)
	echoes(t, st)
	select {
	case <-m.Done():
		t.Fatal("the session was ended under a stream:", m.Err())
	case <-time.After(drainGrace + drainGrace/2): // the event is that there is none
	}
	echoes(t, st)
	if got := refusal(t, open(t, m, "redis", 6379)); got.Refusal != mux.RefusedDraining {
		t.Errorf("a late stream: %+v", got)
	}
	st.Reset("test")
	within(t, "Shutdown ends", func() {
		if err := <-down; err != nil {
			t.Error(err)
		}
	})
}

func TestManySessionsLeaveNothing(t *testing.T) { // TestMain looks for goroutines
	s := serve(t, &Server{Links: []link.Link{echo(t, "redis", 6379)}})
	var all sync.WaitGroup
	for i := range 40 {
		m, _ := s.connect(t, "client/c")
		st := open(t, m, "redis", 6379)
		echoes(t, st)
		all.Go(func() {
			if i%2 == 0 {
				st.Reset("test")
			}
			m.Close()
		})
	}
	all.Wait()
	eventually(t, "the sessions are forgotten", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return len(s.sessions) == 0
	})
}

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

func (l *brokenListener) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1} }

func (l *brokenListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	if l.Listener != nil {
		return l.Listener.Close()
	}
	return nil
}

func TestAcceptErrorsAreOutlived(t *testing.T) {
	s := &Server{Links: []link.Link{echo(t, "redis", 6379)}}
	run := serve(t, s)
	l := listen(t)
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(&brokenListener{Listener: l, failures: 3, closed: make(chan struct{})}) }()
	run.address = l.Addr().String()
	m, _ := run.connect(t, "client/c")
	echoes(t, open(t, m, "redis", 6379))
	s.Close()
	if err := <-ended; !errors.Is(err, ErrClosed) {
		t.Fatal(err)
	}
}

func TestAcceptErrorsDoNotSpin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		core, logs := observer.New(zap.DebugLevel)
		s := &Server{Logger: zap.New(core)}
		l := &brokenListener{failures: -1, closed: make(chan struct{})}
		ended := make(chan error, 1)
		go func() { ended <- s.Serve(l) }()
		<-time.After(59 * time.Second)
		if n := l.attempts.Load(); n < 30 || n > 200 {
			t.Errorf("%d attempts in a minute, want about one a second", n)
		}
		if n := logs.FilterLevelExact(zap.WarnLevel).Len(); n != 1 {
			t.Errorf("%d warnings in a minute, want 1", n)
		}
		began := time.Now()
		s.Close()
		if err := <-ended; !errors.Is(err, ErrClosed) || time.Since(began) > 0 {
			t.Errorf("Serve: %v after %v, want ErrClosed at once", err, time.Since(began))
		}
	})
}
