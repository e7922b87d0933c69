package server

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"reflect"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ambassador/internal/link"
	"ambassador/mux"
)

// changing are grants that a test changes while sessions run.
type changing struct {
	mu    sync.Mutex
	links map[string][]string // by the path of the identity
	err   error               // for everybody, if not nil
	asked func()              // called by each question, if not nil
}

func (g *changing) authorize(cs tls.ConnectionState) (Peer, error) {
	g.mu.Lock()
	asked, err := g.asked, g.err
	peer, errGrant := grants(g.links)(cs)
	g.mu.Unlock()
	if asked != nil {
		asked()
	}
	if err != nil {
		return Peer{}, err
	}
	if errGrant != nil {
		return Peer{}, &DeniedError{Reason: "its grant is gone", Err: errGrant}
	}
	return peer, nil
}

func (g *changing) set(links map[string][]string, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.links, g.err = links, err
}

// next reads the provider's next message.
func next(t *testing.T, m *mux.Session) (msg mux.Message) {
	t.Helper()
	within(t, "a message of the provider", func() {
		var err error
		if msg, err = m.Control().Receive(); err != nil {
			t.Error(err)
		}
	})
	return msg
}

// isReset reads a stream to its end, which has to be a reset.
func isReset(t *testing.T, st *mux.Stream) {
	t.Helper()
	within(t, "the stream ends", func() {
		if _, err := io.Copy(io.Discard, st); !errors.Is(err, mux.ErrReset) && !errors.Is(err, mux.ErrSessionLost) {
			t.Errorf("the stream ended with %v, want a reset", err)
		}
	})
	st.Reset("done")
}

func TestWithdrawnLinkResetsItsStreamsAndNoOthers(t *testing.T) {
	g := &changing{links: map[string][]string{"client/one": {"redis", "mq"}, "client/two": {"mq"}}}
	s := serve(t, &Server{Links: []link.Link{echo(t, "redis", 6379), echo(t, "mq", 5672)}, Authorize: g.authorize})
	one, _ := s.connect(t, "client/one")
	two, _ := s.connect(t, "client/two")
	kept, lost, others := open(t, one, "redis", 6379), open(t, one, "mq", 5672), open(t, two, "mq", 5672)
	for _, st := range []*mux.Stream{kept, lost, others} {
		echoes(t, st)
	}
	g.set(map[string][]string{"client/one": {"redis"}, "client/two": {"mq"}}, nil)
	if err := s.Reauthorize(); err != nil {
		t.Fatal(err)
	}
	isReset(t, lost)
	if got := next(t, one); got.Kind != mux.KindLinks || !reflect.DeepEqual(got.Links, []mux.Offer{{Name: "redis", Ports: []uint16{6379}}}) {
		t.Errorf("the client is told %+v", got)
	}
	echoes(t, kept)
	echoes(t, others)
	if got := refusal(t, open(t, one, "mq", 5672)); got.Refusal != mux.RefusedNoLink {
		t.Errorf("a new stream is answered %+v", got)
	}

	// And what is granted again works in the same session.
	g.set(map[string][]string{"client/one": {"mq", "redis"}, "client/two": {"mq"}}, nil)
	if err := s.Reauthorize(); err != nil {
		t.Fatal(err)
	}
	if got := next(t, one); got.Kind != mux.KindLinks || len(got.Links) != 2 {
		t.Errorf("the client is told %+v", got)
	}
	echoes(t, open(t, one, "mq", 5672))
	echoes(t, kept)
}

func TestClientThatIsDeniedIsOutAtOnce(t *testing.T) {
	g := &changing{links: map[string][]string{"client/one": {"*"}, "client/two": {"*"}}}
	s := serve(t, &Server{Links: []link.Link{echo(t, "redis", 6379)}, Authorize: g.authorize})
	one, _ := s.connect(t, "client/one")
	two, _ := s.connect(t, "client/two")
	lost, kept := open(t, one, "redis", 6379), open(t, two, "redis", 6379)
	echoes(t, lost)
	echoes(t, kept)
	g.set(map[string][]string{"client/two": {"*"}}, nil)
	if err := s.Reauthorize(); err != nil {
		t.Fatal(err)
	}
	if got := next(t, one); got.Kind != mux.KindRefuse || got.Reason != "its grant is gone" {
		t.Errorf("the client is told %+v", got)
	}
	isReset(t, lost)
	within(t, "the session ends", func() { <-one.Done() })
	if _, answer := s.connect(t, "client/one"); answer.Kind != mux.KindRefuse || answer.Reason != "its grant is gone" {
		t.Errorf("it comes back and is answered %+v", answer)
	}
	echoes(t, kept)
}

// gate is a connection of which a client stops to read, at the system's level.
type gate struct {
	net.Conn
	shut   chan struct{}
	closed chan struct{}
	once   sync.Once
}

func (g *gate) Read(p []byte) (int, error) {
	select {
	case <-g.shut:
		<-g.closed
		return 0, net.ErrClosed
	default:
		return g.Conn.Read(p)
	}
}

func (g *gate) Close() error {
	g.once.Do(func() { close(g.closed) })
	return g.Conn.Close()
}

// A client that takes nothing cannot delay its end: neither the last word to it
// nor the bytes on their way keep the session.
func TestDeniedClientThatReadsNothing(t *testing.T) {
	g := &changing{links: map[string][]string{"client/one": {"*"}}}
	s := serve(t, &Server{Links: []link.Link{echo(t, "redis", 6379)}, Authorize: g.authorize})
	conn := &gate{Conn: s.dial(t), shut: make(chan struct{}), closed: make(chan struct{})}
	one, err := mux.Client(t.Context(), conn, testCA().config(t, "client/one"), mux.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer one.Close()
	if err := one.Control().Send(mux.Message{Kind: mux.KindHello}); err != nil {
		t.Fatal(err)
	}
	next(t, one)
	st := open(t, one, "redis", 6379)
	echoes(t, st)
	close(conn.shut)
	stuck := make(chan struct{})
	var sent atomic.Int64
	go func() {
		defer close(stuck)
		block := make([]byte, 64<<10)
		for {
			n, err := st.Write(block)
			sent.Add(int64(n))
			if err != nil {
				return
			}
		}
	}()
	// What comes back fills the provider's socket, until nothing moves.
	for before := int64(-1); before != sent.Load(); time.Sleep(200 * time.Millisecond) {
		before = sent.Load()
	}
	g.set(nil, nil)
	began := time.Now()
	if err := s.Reauthorize(); err != nil {
		t.Fatal(err)
	}
	if d := time.Since(began); d > time.Second {
		t.Errorf("others wait for it: %v", d)
	}
	eventually(t, "the provider has no session", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return len(s.sessions) == 0
	})
	if d := time.Since(began); d > 4*time.Second {
		t.Errorf("it took %v", d)
	}
	one.Close()
	<-stuck
}

// What could not be judged stays as it was for a while: a record that cannot be
// read for a moment cuts nobody.
func TestGrantThatCannotBeReadForAMomentEndsNothing(t *testing.T) {
	g := &changing{links: map[string][]string{"client/one": {"redis"}}}
	s := serve(t, &Server{Links: []link.Link{echo(t, "redis", 6379)}, Authorize: g.authorize})
	one, _ := s.connect(t, "client/one")
	st := open(t, one, "redis", 6379)
	echoes(t, st)
	broken := errors.New("input/output error")
	g.set(nil, broken)
	if err := s.Reauthorize(); !errors.Is(err, broken) {
		t.Errorf("%v, want %v", err, broken)
	}
	echoes(t, st)
	echoes(t, open(t, one, "redis", 6379))
}

// Whoever keeps its own record from being read, such as by using up descriptors,
// does not stay for ever. One that can be judged again in time does.
func TestClientThatCannotBeJudgedIsOut(t *testing.T) {
	g := &changing{links: map[string][]string{"client/one": {"redis"}}}
	s := serve(t, &Server{Links: []link.Link{echo(t, "redis", 6379)}, Authorize: g.authorize, judgeWithin: 200 * time.Millisecond})
	one, _ := s.connect(t, "client/one")
	st := open(t, one, "redis", 6379)
	echoes(t, st)
	broken := errors.New("too many open files")
	for range 2 { // the time begins anew after an answer
		g.set(map[string][]string{"client/one": {"redis"}}, broken)
		if err := s.Reauthorize(); !errors.Is(err, broken) {
			t.Errorf("%v, want %v", err, broken)
		}
		time.Sleep(250 * time.Millisecond)
		g.set(map[string][]string{"client/one": {"redis"}}, nil)
		if err := s.Reauthorize(); err != nil {
			t.Error(err)
		}
	}
	echoes(t, st)
	g.set(nil, broken)
	eventually(t, "the session ends", func() bool {
		if err := s.Reauthorize(); err != nil && !errors.Is(err, broken) {
			t.Error(err)
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		return len(s.sessions) == 0
	})
	isReset(t, st)
	within(t, "the client knows", func() { <-one.Done() })
}

// A change between the question about a client and its welcome counts.
func TestGrantThatChangesWhileTheClientIsWelcomed(t *testing.T) {
	for name, after := range map[string]map[string][]string{
		"withdrawn": {"client/one": {"redis"}},
		"denied":    nil,
	} {
		t.Run(name, func(t *testing.T) {
			g := &changing{links: map[string][]string{"client/one": {"redis", "mq"}}}
			s := &Server{Links: []link.Link{echo(t, "redis", 6379), echo(t, "mq", 5672)}, Authorize: g.authorize}
			var once sync.Once
			g.asked = func() {
				once.Do(func() {
					g.set(after, nil)
					if err := s.Reauthorize(); err != nil {
						t.Error(err)
					}
				})
			}
			run := serve(t, s)
			if after == nil {
				m, answer := run.connect(t, "client/one")
				if answer.Kind != mux.KindRefuse {
					t.Errorf("answered %+v", answer)
				}
				within(t, "the session ends", func() { <-m.Done() })
				return
			}
			m, answer := run.connect(t, "client/one")
			if answer.Kind == mux.KindWelcome && len(answer.Links) == 2 {
				answer = next(t, m)
			}
			if len(answer.Links) != 1 || answer.Links[0].Name != "redis" {
				t.Errorf("told %+v", answer)
			}
			if got := refusal(t, open(t, m, "mq", 5672)); got.Refusal != mux.RefusedNoLink {
				t.Errorf("a stream is answered %+v", got)
			}
		})
	}
}

func TestGrantsThatChangeAllTheTime(t *testing.T) {
	g := &changing{links: map[string][]string{"client/one": {"redis"}}}
	s := serve(t, &Server{Links: []link.Link{echo(t, "redis", 6379), echo(t, "mq", 5672)}, Authorize: g.authorize})
	one, _ := s.connect(t, "client/one")
	st := open(t, one, "redis", 6379)
	var running sync.WaitGroup
	running.Go(func() {
		for i := range 200 {
			links := []string{"redis"}
			if i%2 == 0 {
				links = []string{"mq", "redis"}
			}
			g.set(map[string][]string{"client/one": links}, nil)
			if err := s.Reauthorize(); err != nil {
				t.Error(err)
			}
		}
	})
	running.Go(func() {
		for range 50 {
			if st, err := one.Open(mux.Open{Link: "mq", Port: 5672, Hold: time.Second}, []byte("x")); err == nil {
				_, _ = st.Read(make([]byte, 1))
				st.Reset("done")
			}
		}
	})
	echoes(t, st)
	running.Wait()
	// The last word to the client is the last state.
	var last mux.Message
	for last.Kind != mux.KindLinks || len(last.Links) != 1 {
		last = next(t, one)
	}
	echoes(t, st)
}

func TestServiceOnTheSamePort(t *testing.T) {
	anybody := testCA().config(t, "provider/p")
	anybody.ClientAuth = tls.NoClientCert
	s := serve(t, &Server{
		Links: []link.Link{echo(t, "redis", 6379)},
		Services: map[string]Service{"greet/1": {TLSConfig: anybody, Serve: func(_ context.Context, c *tls.Conn) error {
			_, err := io.WriteString(c, "hello")
			return err
		}}},
	})
	stranger := testCA().config(t, "client/x")
	stranger.Certificates = nil
	ask := func(protocols ...string) (string, error) {
		config := stranger.Clone()
		config.NextProtos = protocols
		c := tls.Client(s.dial(t), config)
		if err := c.Handshake(); err != nil {
			return "", err
		}
		got, err := io.ReadAll(c)
		return string(got), err
	}
	if got, err := ask("greet/1"); got != "hello" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	// Who asks for a session as well gets a session's rules, and so does who asks
	// for nothing.
	for _, protocols := range [][]string{{"greet/1", mux.Protocol}, {mux.Protocol, "greet/1"}, {mux.Protocol}, nil} {
		if got, err := ask(protocols...); err == nil || got != "" {
			t.Errorf("%v: a stranger is answered %q", protocols, got)
		}
	}
	m, _ := s.connect(t, "client/c")
	echoes(t, open(t, m, "redis", 6379))
}

// A service's connection counts as unauthenticated: it is ended after the
// handshake's time, and gives way to new ones.
func TestServiceIsBoundAsAHandshakeIs(t *testing.T) {
	anybody := testCA().config(t, "provider/p")
	anybody.ClientAuth = tls.NoClientCert
	s := serve(t, &Server{
		HandshakeTimeout: 300 * time.Millisecond,
		Services: map[string]Service{"wait/1": {TLSConfig: anybody, Serve: func(_ context.Context, c *tls.Conn) error {
			_, err := c.Read(make([]byte, 1))
			return err
		}}},
	})
	config := testCA().config(t, "client/x")
	config.Certificates, config.NextProtos = nil, []string{"wait/1"}
	c := tls.Client(s.dial(t), config)
	if err := c.Handshake(); err != nil {
		t.Fatal(err)
	}
	within(t, "the connection ends", func() { _, _ = io.Copy(io.Discard, c) })
}
