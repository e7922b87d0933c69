package live

import (
	"errors"
	"fmt"
	"reflect"
	"sync"
	"testing"
	"time"
)

// accountOf finds an account in a snapshot.
func accountOf(s Snapshot, peer, link string) (found Account) {
	for _, a := range s.Accounts {
		if a.Peer == peer && a.Link == link {
			found = a
		}
	}
	return found
}

func TestRunningBytesAreCounted(t *testing.T) {
	var table Table
	session := table.OpenSession("web", "1.0", newCarrier(), func() {})
	st := table.OpenStream("web", "redis", 6379, "10.0.0.1:1", "")
	if s := table.Snapshot(true).Streams; len(s) != 1 || s[0].Phase != Waiting || s[0].Session != 0 {
		t.Errorf("before its session: %+v", s)
	}
	st.On(session, 5)
	if s := table.Snapshot(true).Streams[0]; s.Phase != Connecting {
		t.Errorf("before its backend: %+v", s)
	}
	st.Connected(address(6379), 2*time.Millisecond)
	f := new(flow)
	if !st.Carry(f) {
		t.Fatal("a stream that nobody killed is not carried")
	}
	f.carry(10, 1000)
	s := table.Snapshot(true)
	want := StreamState{
		ID: st.ID(), Session: session.ID(), Stream: 5, Peer: "web", Link: "redis", Port: 6379, Consumer: "10.0.0.1:1",
		Backend: "192.0.2.1:6379", Since: s.Streams[0].Since, Phase: Open, Bytes: Bytes{10, 1000},
	}
	if s.Streams[0] != want {
		t.Errorf("stream\n%+v, want\n%+v", s.Streams[0], want)
	}
	if got := s.Sessions[0]; got.Bytes != want.Bytes || got.Streams != 1 || got.RTT != 3*time.Millisecond || got.Silent != time.Second ||
		got.Remote != "192.0.2.1:7000" || got.Local != "192.0.2.1:7001" || got.Version != "1.0" {
		t.Errorf("session %+v", got)
	}
	if a := accountOf(s, "web", "redis"); a.Bytes != want.Bytes || a.Streams != 1 || a.Opened != 1 || a.DialSeconds.Count != 1 {
		t.Errorf("account %+v", a)
	}
	f.carry(1, 0)
	if why := st.End(ConsumerClosed); why != ConsumerClosed {
		t.Errorf("ended as %v", why)
	}
	st.End(BackendReset) // counts no more
	s = table.Snapshot(true)
	if a := accountOf(s, "web", "redis"); a.Bytes != (Bytes{11, 1000}) || a.Streams != 0 || a.Opened != 1 || a.Ended[ConsumerClosed] != 1 || a.Ended[BackendReset] != 0 {
		t.Errorf("account after its end %+v", a)
	}
	if got := s.Sessions[0]; got.Bytes != (Bytes{11, 1000}) || got.Streams != 0 || len(s.Streams) != 0 {
		t.Errorf("session after its stream %+v, streams %v", got, s.Streams)
	}
	if got := table.Snapshot(false).Streams; got != nil {
		t.Errorf("streams that nobody asked for: %v", got)
	}
	session.End(nil)
	session.End(errors.New("again"))
	s = table.Snapshot(false)
	if len(s.Sessions) != 0 || s.SessionsOpened != 1 || s.SessionSeconds.Count != 1 {
		t.Errorf("after the session %+v", s)
	}
}

// A consumer comes before it is known where its stream goes.
func TestStreamIsCountedWhereItTurnsOutToGo(t *testing.T) {
	var table Table
	st := table.OpenStream("", "", 6379, "c", "127.0.0.1:6379")
	st.Aim("redis", 6380)
	st.On(table.OpenSession("big", "", newCarrier(), func() {}), 1)
	s := table.Snapshot(true)
	if len(s.Accounts) != 1 || accountOf(s, "big", "redis").Opened != 1 {
		t.Errorf("accounts %+v, want that of big and redis alone", s.Accounts)
	}
	if got := s.Streams[0]; got.Peer != "big" || got.Link != "redis" || got.Port != 6380 || got.Local != "127.0.0.1:6379" {
		t.Errorf("stream %+v", got)
	}
	never := table.OpenStream("", "", 1, "c", "")
	never.End(NoSession)
	if a := accountOf(table.Snapshot(false), "", ""); a.Ended[NoSession] != 1 || a.Opened != 1 {
		t.Errorf("one that went nowhere: %+v", a)
	}
}

func TestOperatorEndsAStream(t *testing.T) {
	t.Run("carried", func(t *testing.T) {
		var table Table
		f, st := new(flow), table.OpenStream("web", "redis", 1, "c", "")
		st.Carry(f)
		if !table.KillStream(st.ID()) || f.aborted != "killed" {
			t.Errorf("aborted with %q", f.aborted)
		}
		if why := st.End(Aborted); why != Killed {
			t.Errorf("ended as %v", why)
		}
		if table.KillStream(st.ID()) {
			t.Error("one that has ended was killed")
		}
	})
	t.Run("waiting", func(t *testing.T) {
		var table Table
		st := table.OpenStream("web", "redis", 1, "c", "")
		given := 0
		st.Waits(func() { given++ })
		table.KillStream(st.ID())
		if given != 1 {
			t.Errorf("given up %d times", given)
		}
		if st.Carry(new(flow)) {
			t.Error("it is carried nevertheless")
		}
		if why := st.End(ConsumerGone); why != Killed {
			t.Errorf("ended as %v", why)
		}
	})
	t.Run("before it waits", func(t *testing.T) {
		var table Table
		st := table.OpenStream("web", "redis", 1, "c", "")
		table.KillStream(st.ID())
		given := 0
		st.Waits(func() { given++ })
		if given != 1 {
			t.Errorf("given up %d times", given)
		}
	})
	t.Run("that had ended in order", func(t *testing.T) {
		var table Table
		st := table.OpenStream("web", "redis", 1, "c", "")
		table.KillStream(st.ID())
		if why := st.End(BackendClosed); why != BackendClosed {
			t.Errorf("ended as %v", why)
		}
	})
}

func TestOperatorEndsASession(t *testing.T) {
	var table Table
	c := newCarrier()
	session := table.OpenSession("web", "", c, c.end)
	st := table.OpenStream("web", "redis", 1, "c", "")
	st.On(session, 1)
	f := new(flow)
	st.Carry(f)
	other := new(flow)
	table.OpenStream("web", "redis", 1, "c", "").Carry(other)
	if !table.KillSession(session.ID()) {
		t.Fatal("there is no such session")
	}
	within(t, "the session is ended", c.ended)
	if f.aborted != "killed" || other.aborted != "" {
		t.Errorf("its stream was aborted with %q, another with %q", f.aborted, other.aborted)
	}
	if why := st.End(SessionLost); why != Killed {
		t.Errorf("its stream ended as %v", why)
	}
	session.End(errors.New("cut"))
	all, _ := table.Events(0)
	if last := all[len(all)-1]; last.Kind != SessionEnded || last.Reason != "killed" || last.Problem {
		t.Errorf("the event is %+v", last)
	}
	if table.KillSession(session.ID()) || table.KillSession(999) {
		t.Error("one that is not there was killed")
	}
}

func TestNoTableTakesEveryCall(t *testing.T) {
	var table *Table
	session := table.OpenSession("web", "", newCarrier(), func() {})
	session.Drain()
	st := table.OpenStream("web", "redis", 1, "c", "")
	st.Waits(func() { t.Error("given up") })
	st.Aim("redis", 1)
	st.On(session, 1)
	st.Connected(nil, 0)
	if !st.Carry(new(flow)) || st.End(BackendReset) != BackendReset || st.ID() != 0 || session.ID() != 0 {
		t.Error("a stream of no table is not served as any other")
	}
	session.End(nil)
	table.Dialled("redis", 1, Running, time.Now(), 0)
	table.Forget("redis", 1)
	table.HandshakeRefused(RefusedTLS)
	table.Event(Event{})
	if e, wake := table.Events(0); e != nil || wake != nil {
		t.Error("events of no table")
	}
	if h := table.Backend("redis", 1); h.Known || h.Link != "redis" {
		t.Errorf("%+v", h)
	}
	if table.KillSession(1) || table.KillStream(1) || len(table.Snapshot(true).Sessions) != 0 {
		t.Error("something is in no table")
	}
}

func TestHandshakesAreCountedByKnownWords(t *testing.T) {
	var table Table
	table.HandshakeRefused(RefusedTLS)
	table.HandshakeRefused(RefusedTLS)
	table.HandshakeRefused("what a stranger made up")
	want := map[string]uint64{RefusedTLS: 2, RefusedFailed: 1}
	if got := table.Snapshot(false).Handshakes; !reflect.DeepEqual(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

// A peer's words reach a terminal.
func TestWordsOfAPeerArePrintable(t *testing.T) {
	var table Table
	table.OpenSession("web", "1.0\x1b[2J\xff", newCarrier(), func() {})
	table.OpenStream("web", "redis", 1, "\r\nforged", "")
	s := table.Snapshot(true)
	if got := s.Sessions[0].Version; got != "1.0?[2J?" {
		t.Errorf("version %q", got)
	}
	if got := s.Streams[0].Consumer; got != "??forged" {
		t.Errorf("consumer %q", got)
	}
}

func TestTableIsForManyGoroutines(t *testing.T) {
	var table Table
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			session := table.OpenSession(fmt.Sprint("peer", i), "", newCarrier(), func() {})
			for range 200 {
				st := table.OpenStream("", "redis", 1, "c", "")
				st.Waits(func() {})
				st.On(session, 1)
				st.Connected(address(1), time.Millisecond)
				st.Carry(new(flow))
				table.Dialled("redis", uint16(i), BackendRefused, time.Now(), time.Millisecond)
				table.KillStream(st.ID() / 2)
				st.End(BackendReset)
			}
			session.Drain()
			session.End(nil)
		})
		all.Go(func() {
			for range 50 {
				table.Snapshot(true)
				table.Events(0)
			}
		})
	}
	all.Wait()
	s := table.Snapshot(true)
	var ended uint64
	for _, a := range s.Accounts {
		ended += a.Ended[BackendReset] + a.Ended[Killed]
		if a.Opened != a.Ended[BackendReset]+a.Ended[Killed] || a.Streams != 0 {
			t.Errorf("%+v", a)
		}
	}
	if ended != 8*200 || len(s.Streams)+len(s.Sessions) != 0 {
		t.Errorf("%d streams have ended, and %d and %d sessions are there", ended, len(s.Streams), len(s.Sessions))
	}
}

// crowd is a table with n sessions and as many streams.
func crowd(n int) *Table {
	table := new(Table)
	for i := range n {
		peer := fmt.Sprintf("spiffe://ambassador/client/web-%d", i%100)
		session := table.OpenSession(peer, "1.0", newCarrier(), func() {})
		st := table.OpenStream(peer, "redis", 6379, fmt.Sprintf("10.0.%d.%d:50000", i/256, i%256), "")
		st.On(session, 3)
		st.Connected(address(6379), time.Millisecond)
		st.Carry(&flow{in: 1, out: 2})
	}
	return table
}

func TestTenThousandAreListedInTime(t *testing.T) {
	table := crowd(10000)
	best := time.Hour
	for range 5 { // the machine may be busy with something else
		began := time.Now()
		s := table.Snapshot(true)
		best = min(best, time.Since(began))
		if len(s.Sessions) != 10000 || len(s.Streams) != 10000 {
			t.Fatalf("%d sessions and %d streams", len(s.Sessions), len(s.Streams))
		}
	}
	if most := 100 * time.Millisecond; best > most && !raceEnabled {
		t.Errorf("10,000 sessions and streams take %v, want %v at most", best, most)
	}
}

func BenchmarkSnapshot10000(b *testing.B) {
	table := crowd(10000)
	b.ReportAllocs()
	for b.Loop() {
		table.Snapshot(true)
	}
}

// BenchmarkStream is what the table costs of a connection.
func BenchmarkStream(b *testing.B) {
	for name, table := range map[string]*Table{"table": new(Table), "none": nil} {
		b.Run(name, func(b *testing.B) {
			session := table.OpenSession("spiffe://ambassador/client/web", "1.0", newCarrier(), func() {})
			f, to := new(flow), address(6379)
			b.ReportAllocs()
			for b.Loop() {
				st := table.OpenStream("spiffe://ambassador/client/web", "redis", 6379, "10.0.0.1:50000", "")
				st.On(session, 3)
				st.Connected(to, time.Millisecond)
				st.Carry(f)
				st.End(ConsumerClosed)
			}
		})
	}
}
