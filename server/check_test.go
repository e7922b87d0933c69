package server

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"reflect"
	"sync/atomic"
	"testing"
	"time"

	"ambassador/internal/link"
	"ambassador/internal/live"
	"ambassador/mux"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

// counted is a resolver that knows no name, and counts who asks.
func counted() (*net.Resolver, *atomic.Int64) {
	var asked atomic.Int64
	return &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		asked.Add(1)
		return nil, errors.New("no name server")
	}}, &asked
}

func down(t *testing.T, name string) link.Link {
	t.Helper()
	l := listen(t)
	l.Close()
	return linkTo(name, 80, l.Addr())
}

func TestCheckFindsOutWhichBackendsAnswer(t *testing.T) {
	resolver, _ := counted()
	table := new(live.Table)
	s := serve(t, &Server{
		Table: table, Dialer: link.Dialer{Resolver: resolver},
		Links: []link.Link{echo(t, "redis", 6379), down(t, "down"), {Name: "unknown", Ports: []link.Port{{Number: 1, Target: link.Target{Host: "nowhere.test", Port: 1}}}}},
	})
	if n := len(table.Snapshot(false).Backends); n != 0 {
		t.Errorf("%d backends are known before anybody asks", n)
	}
	if err := s.Check(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	want := map[string]live.Reason{"redis": live.Running, "down": live.BackendRefused, "unknown": live.BackendUnknown}
	for _, h := range table.Snapshot(false).Backends {
		if !h.Known || h.Reason != want[h.Link] || h.OK != (h.Reason == live.Running) {
			t.Errorf("%+v, want %v", h, want[h.Link])
		}
		delete(want, h.Link)
	}
	if len(want) > 0 {
		t.Errorf("nothing is known of %v", want)
	}
	if err := (&Server{}).Check(t.Context(), 0); err == nil {
		t.Error("a check without a table has found out something")
	}
}

func TestStreamsTellWhatTheirDialsShowed(t *testing.T) {
	table := new(live.Table)
	s := serve(t, &Server{Table: table, Links: []link.Link{echo(t, "redis", 6379), down(t, "down")}})
	m, _ := s.connect(t, "client/c")
	echoes(t, open(t, m, "redis", 6379))
	st, err := m.Open(mux.Open{Link: "down", Port: 80, Hold: patience}, nil)
	if err != nil {
		t.Fatal(err)
	}
	// The first attempt says so: not the end of the hold budget.
	eventually(t, "the backend is known to be down", func() bool {
		h := table.Backend("down", 80)
		return h.Known && h.Reason == live.BackendRefused
	})
	st.Reset("")
	if h := table.Backend("redis", 6379); !h.OK || h.Took <= 0 {
		t.Errorf("%+v", h)
	}
	if a := table.Snapshot(false).Accounts; len(a) == 0 {
		t.Error("no account")
	}
}

// health asks and gives the answer.
func health(t *testing.T, m *mux.Session, maxAge time.Duration) []mux.Health {
	t.Helper()
	if err := m.Control().Send(mux.Message{Kind: mux.KindCheck, MaxAge: maxAge.Milliseconds()}); err != nil {
		t.Fatal(err)
	}
	return answer(t, m)
}

func answer(t *testing.T, m *mux.Session) []mux.Health {
	t.Helper()
	var got mux.Message
	within(t, "the check is answered", func() {
		var err error
		if got, err = m.Control().Receive(); err != nil || got.Kind != mux.KindHealth {
			t.Errorf("%+v, %v; want health", got, err)
		}
	})
	for i, h := range got.Health {
		if h.Age < 0 || h.Age > time.Minute.Milliseconds() {
			t.Errorf("%+v is of that age", h)
		}
		got.Health[i].Age, got.Health[i].Took = 0, 0
	}
	return got.Health
}

func TestClientIsToldOfItsOwnLinksAlone(t *testing.T) {
	s := serve(t, &Server{
		Table: new(live.Table), Links: []link.Link{echo(t, "redis", 6379), down(t, "down"), echo(t, "secret", 1)},
		Authorize: grants(map[string][]string{"client/one": {"redis", "down"}, "client/none": nil}),
	})
	one, welcome := s.connect(t, "client/one")
	if !welcome.Checks {
		t.Error("the welcome does not say that checks are answered")
	}
	want := []mux.Health{{Link: "down", Port: 80, Reason: "backend-refused"}, {Link: "redis", Port: 6379, OK: true}}
	if got := health(t, one, time.Minute); !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
	if s.Table.Backend("secret", 1).Known {
		t.Error("a client has made a backend be dialled that it may not use")
	}
	none, _ := s.connect(t, "client/none")
	if got := health(t, none, 0); len(got) != 0 {
		t.Errorf("who may use nothing is told %+v", got)
	}
}

func TestChecksOfAClientAreAnsweredFromWhatIsKnown(t *testing.T) {
	resolver, dials := counted()
	s := serve(t, &Server{
		Table: new(live.Table), Dialer: link.Dialer{Resolver: resolver},
		Links: []link.Link{{Name: "redis", Ports: []link.Port{{Number: 1, Target: link.Target{Host: "nowhere.test", Port: 1}}}}},
	})
	m, _ := s.connect(t, "client/c")
	health(t, m, 0)
	once := dials.Load()
	if once == 0 {
		t.Fatal("nothing was dialled")
	}
	// Many at once are answered, and dial nothing within a second.
	const many = 500
	for range many {
		if err := m.Control().Send(mux.Message{Kind: mux.KindCheck}); err != nil {
			t.Fatal(err)
		}
	}
	health(t, m, 0)
	if at := s.Table.Backend("redis", 1).At; time.Since(at) < checkAtMost && dials.Load() != once {
		t.Errorf("%d lookups, after %d for the first", dials.Load(), once)
	}
	eventually(t, "it is dialled again after a second", func() bool {
		health(t, m, 0)
		return dials.Load() > once
	})
}

func TestServerWithoutATableSaysSo(t *testing.T) {
	s := serve(t, &Server{Links: []link.Link{echo(t, "redis", 6379)}})
	m, welcome := s.connect(t, "client/c")
	if welcome.Checks {
		t.Error("the welcome says that checks are answered")
	}
	// A message that is not for this version is passed over, as it was always.
	for _, kind := range []string{mux.KindCheck, "of a later version"} {
		if err := m.Control().Send(mux.Message{Kind: kind}); err != nil {
			t.Fatal(err)
		}
	}
	echoes(t, open(t, m, "redis", 6379))
}

func TestCheckEndsWithItsSession(t *testing.T) {
	dialling := make(chan struct{}, 100)
	slow := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		dialling <- struct{}{}
		<-ctx.Done()
		return nil, ctx.Err()
	}}
	s := serve(t, &Server{
		Table: new(live.Table), Dialer: link.Dialer{Resolver: slow},
		Links: []link.Link{{Name: "slow", Ports: []link.Port{{Number: 1, Target: link.Target{Host: "slow.test", Port: 1}}}}},
	})
	m, _ := s.connect(t, "client/c")
	if err := m.Control().Send(mux.Message{Kind: mux.KindCheck}); err != nil {
		t.Fatal(err)
	}
	<-dialling
	began := time.Now()
	m.Close()
	eventually(t, "the session is over", func() bool { return len(s.Table.Snapshot(false).Sessions) == 0 })
	if d := time.Since(began); d > time.Second {
		t.Errorf("the session lasted %v longer for a check", d)
	}
}

func TestRefusedConnectionsAreCounted(t *testing.T) {
	s := serve(t, &Server{
		Table: new(live.Table), HandshakeTimeout: 500 * time.Millisecond, MaxHandshakes: 3,
		Authorize: grants(map[string][]string{"client/one": {"*"}}),
	})
	count := func(word string) uint64 { return s.Table.Snapshot(false).Handshakes[word] }
	counted := func(word string, n uint64) {
		t.Helper()
		eventually(t, word, func() bool { return count(word) == n })
	}
	s.dial(t).Close()
	counted(live.RefusedGone, 1)
	s.dial(t).Write([]byte("GET / HTTP/1.1\r\n\r\n"))
	counted(live.RefusedTLS, 1)
	if _, answer := s.connect(t, "client/nobody"); answer.Kind != mux.KindRefuse {
		t.Errorf("%+v", answer)
	}
	counted(live.RefusedDenied, 1)
	config := testCA().config(t, "client/one")
	config.Certificates, config.NextProtos = nil, []string{mux.Protocol}
	c := tls.Client(s.dial(t), config)
	if c.Handshake() == nil {
		c.Read(make([]byte, 1))
	}
	counted(live.RefusedCertificate, 1)
	config = testCA().config(t, "client/one")
	c = tls.Client(s.dial(t), config) // no ALPN
	c.Handshake()
	counted(live.RefusedProtocol, 1)
	config = testCA().config(t, "client/one")
	config.RootCAs, config.NextProtos = nil, []string{mux.Protocol}
	if err := tls.Client(s.dial(t), config).Handshake(); err == nil {
		t.Error("the provider's certificate is trusted by whom it should not be")
	}
	counted(live.RefusedUntrusted, 1)
	for range 4 {
		s.dial(t)
	}
	counted(live.RefusedBusy, 1)
	counted(live.RefusedTimeout, 3)
	events, _ := s.Table.Events(0)
	if len(events) != 1 || events[0].Kind != live.DoorClosed || events[0].Peer != "spiffe://test/client/nobody" {
		t.Errorf("events %+v, want that of the client that was denied and none of strangers", events)
	}
}

func TestEndOfASessionIsAnEvent(t *testing.T) {
	s := serve(t, &Server{Table: new(live.Table)})
	last := func() live.Event {
		all, _ := s.Table.Events(0)
		if len(all) == 0 {
			return live.Event{}
		}
		return all[len(all)-1]
	}
	m, _ := s.connect(t, "client/c")
	eventually(t, "the session is shown", func() bool { return len(s.Table.Snapshot(false).Sessions) == 1 })
	m.Close()
	eventually(t, "the session's end is wanted", func() bool { return last().Kind == live.SessionEnded && !last().Problem })
	m, _ = s.connect(t, "client/c")
	eventually(t, "the session is shown", func() bool { return len(s.Table.Snapshot(false).Sessions) == 1 })
	id := s.Table.Snapshot(false).Sessions[0].ID
	s.Table.KillSession(id)
	<-m.Done()
	eventually(t, "an operator ended it", func() bool { return last().Kind == live.SessionEnded && last().Reason == "killed" })
}

func TestStreamsThatAreRefusedAreCounted(t *testing.T) {
	s := serve(t, &Server{
		Table: new(live.Table), Links: []link.Link{echo(t, "redis", 6379), echo(t, "mq", 1)},
		Authorize: grants(map[string][]string{"client/c": {"redis"}}),
	})
	m, _ := s.connect(t, "client/c")
	for range 3 {
		refusal(t, open(t, m, "a name that the client has made up", 1))
	}
	refusal(t, open(t, m, "mq", 1))
	st, err := m.Open(mux.Open{Link: "redis", Port: 6379, Transport: 17}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := refusal(t, st); got.Refusal != mux.RefusedRequest {
		t.Errorf("%+v", got)
	}
	got := map[string]uint64{}
	eventually(t, "all have ended", func() bool {
		clear(got)
		for _, a := range s.Table.Snapshot(true).Accounts {
			for r, n := range a.Ended {
				if n > 0 {
					got[a.Link+" "+live.Reason(r).String()] += n
				}
			}
		}
		return len(got) == 3
	})
	// No label is of a client's making.
	want := map[string]uint64{" not-granted": 3, "mq not-granted": 1, " bad-request": 1}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

// A client's word is taken for what it can know better, and for nothing else.
func TestWordOfAClient(t *testing.T) {
	for word, want := range map[string]live.Reason{
		"consumer-lost": live.ConsumerLost, "memory-limit": live.MemoryLimit, "killed": live.Killed, "": live.ConsumerReset,
		"backend-reset": live.ConsumerReset, "backend-lost": live.ConsumerReset, "link-withdrawn": live.ConsumerReset, "client-denied": live.ConsumerReset,
	} {
		t.Run(word, func(t *testing.T) {
			s := serve(t, &Server{Table: new(live.Table), Links: []link.Link{echo(t, "redis", 6379)}})
			m, _ := s.connect(t, "client/c")
			st := open(t, m, "redis", 6379)
			echoes(t, st)
			st.Reset(word)
			ended := func() (all [live.Reasons]uint64) {
				for _, a := range s.Table.Snapshot(false).Accounts {
					all = a.Ended
				}
				return all
			}
			eventually(t, "it has ended", func() bool { return ended() != [live.Reasons]uint64{} })
			if ended()[want] != 1 {
				t.Errorf("ended as %v, want %v", ended(), want)
			}
		})
	}
}

// Nobody but a status that is looked at asks for the backend here.
func TestChangeOfABackendIsLogged(t *testing.T) {
	l := listen(t)
	core, logs := observer.New(zap.InfoLevel)
	s := serve(t, &Server{Table: new(live.Table), Links: []link.Link{linkTo("redis", 6379, l.Addr())}, Logger: zap.New(core)})
	l.Close()
	for range 3 {
		if err := s.Check(t.Context(), 0); err != nil {
			t.Fatal(err)
		}
	}
	down := logs.FilterMessage("backend does not answer").FilterLevelExact(zap.WarnLevel).All()
	if len(down) != 1 || down[0].ContextMap()["link"] != "redis" || down[0].ContextMap()["reason"] != "backend-refused" {
		t.Errorf("%+v", down)
	}
	again, err := net.Listen("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if err := s.Check(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	if n := logs.FilterMessage("backend answers again").Len(); n != 1 {
		t.Errorf("%d lines say that it answers again", n)
	}
}
