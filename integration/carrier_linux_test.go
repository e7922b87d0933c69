package integration

import (
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// deadBy is when both ends know that a silent peer is gone: 30 s after they last
// heard of it (mux.Options, DeadAfter), and what it takes to say so.
const deadBy = 30*time.Second + soon

// back is how soon a client has a session again after it lost one on a path that
// works.
const back = 2 * time.Second

// inUse are streams in the states in which a loss may find them, each with the
// consumer's end and the service's.
type inUse map[string][2]*streamEnd

type streamEnd struct {
	*net.TCPConn
	finished bool       // it has read the other's end
	written  chan error // how its writer ended; nil if nobody writes
}

// ends are all consumers' and services' connections, by what to call them.
func (u inUse) ends() map[string]*streamEnd {
	all := make(map[string]*streamEnd)
	for state, c := range u {
		for i, name := range []string{"consumer", "service"} {
			if c[i] != nil {
				all["the "+name+" of the "+state+" stream"] = c[i]
			}
		}
	}
	return all
}

// only are the consumers (0) or the services (1).
func (u inUse) only(end int) inUse {
	all := inUse{}
	for state, c := range u {
		one := [2]*streamEnd{}
		one[end] = c[end]
		all[state] = one
	}
	return all
}

// use makes an idle stream, long enough ago to be parked, one of which either end
// has finished, and one in a transfer either way.
func (f *far) use() inUse {
	f.t.Helper()
	u := inUse{}
	pair := func(state string) (consumer, service *streamEnd) {
		c, s := f.dial()
		exchange(f.t, c, s)
		consumer, service = &streamEnd{TCPConn: c}, &streamEnd{TCPConn: s}
		u[state] = [2]*streamEnd{consumer, service}
		return consumer, service
	}
	consumer, service := pair("finished by the consumer")
	finish(f.t, consumer, service)
	consumer, service = pair("finished by the service")
	finish(f.t, service, consumer)
	pair("idle")
	<-time.After(150 * time.Millisecond) // internal/relay parks after 50 to 100 ms
	_, service = pair("downloading")
	service.stuff()
	consumer, _ = pair("uploading")
	consumer.stuff()
	return u
}

// finish sends FIN and sees it arrive.
func finish(t *testing.T, from, to *streamEnd) {
	t.Helper()
	if err := from.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if rest, err := readAll(to.TCPConn, patience); err != nil || len(rest) > 0 {
		t.Fatalf("%d bytes, %v; want a clean end", len(rest), err)
	}
	to.finished = true
}

// stuff writes until the connection fails.
func (e *streamEnd) stuff() {
	e.written = make(chan error, 1)
	go func() {
		for {
			if _, err := e.Write(make([]byte, 64<<10)); err != nil {
				e.written <- err
				return
			}
		}
	}()
}

// areReset fails the test unless all ends see a reset, and none a clean end that
// had not come before, until the time given.
func (u inUse) areReset(t *testing.T, until time.Time) {
	t.Helper()
	var all sync.WaitGroup
	for name, c := range u.ends() {
		all.Go(func() {
			if err := c.lost(until); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		})
	}
	all.Wait()
}

// lost reads until a reset. An end that had read everything before shows it to a
// writer; and where somebody writes already, a socket may tell the writer alone, and
// the reader then sees what looks like an end.
func (e *streamEnd) lost(until time.Time) error {
	e.SetReadDeadline(until)
	buf := make([]byte, 64<<10)
	for {
		_, err := e.Read(buf)
		switch {
		case err == nil:
			continue
		case err == io.EOF && e.finished:
			if _, err = e.Write([]byte("x")); err == nil && time.Now().Before(until) {
				<-time.After(10 * time.Millisecond)
				continue
			}
		case err == io.EOF && e.written != nil:
			select {
			case err = <-e.written:
			case <-time.After(time.Until(until)):
			}
		}
		if !isReset(err) {
			return fmt.Errorf("%w; want a reset until %v", cmpError(err, errOtherBytes), until.Format(time.TimeOnly))
		}
		return nil
	}
}

// sessions is how many sessions the client has had.
func (f *far) sessions() int { return f.client.count("connected to the provider") }

// returns waits for another session than the client has had.
func (f *far) returns(had int, within time.Duration) {
	f.t.Helper()
	began := time.Now()
	eventually(f.t, within, func() error {
		if f.sessions() > had {
			return nil
		}
		return fmt.Errorf("no session %v after the loss", time.Since(began))
	})
	if err := f.visit(); err != nil {
		f.t.Error("the next consumer:", err)
	}
}

func TestCarrierKilled(t *testing.T) {
	ways := map[string]func(f *far){
		"at-the-client":   func(f *far) { f.on(clientServer, "ss", "-K", "dst", bigAddress, "dport", "=", carrierPort) },
		"at-the-provider": func(f *far) { f.on(bigServer, "ss", "-K", "src", bigAddress, "sport", "=", carrierPort) },
		"by-a-reset-from-the-path": func(f *far) {
			rule := []string{"INPUT", "-i", "wan", "-p", "tcp", "-j", "REJECT", "--reject-with", "tcp-reset"}
			f.iptables(bigServer, "-I", rule...)
			f.client.waitLog("session with the provider lost, connecting again")
			f.iptables(bigServer, "-D", rule...)
		},
	}
	for way, kill := range ways {
		t.Run(way, func(t *testing.T) {
			f := startFar(t, pairOptions{})
			// Again and again: the pauses between attempts must not grow with losses
			// that are none of the provider's doing.
			for range 6 {
				u := f.use()
				had := f.sessions()
				kill(f)
				killed := time.Now()
				u.areReset(t, killed.Add(soon))
				f.returns(had, back)
				if way == "by-a-reset-from-the-path" {
					break
				}
			}
		})
	}
}

func TestCarrierBlackholed(t *testing.T) {
	t.Parallel()
	f := startFar(t, pairOptions{})
	u := f.use()
	fds := f.provider.descriptors()
	mend := f.blackhole(clientServer)
	gone := time.Now()
	u.areReset(t, gone.Add(deadBy))
	f.provider.waitLog("client disconnected")
	f.client.waitLog("session with the provider lost, connecting again")
	if took := time.Since(gone); took > deadBy {
		t.Errorf("known after %v", took)
	}
	eventually(t, soon, func() error {
		if now := f.provider.descriptors(); now > fds-len(u) {
			return fmt.Errorf("the provider has %d descriptors, and had %d with %d streams", now, fds, len(u))
		}
		return nil
	})
	had := f.sessions()
	mend()
	// A consumer ends the client's pause.
	if err := f.visit(); err != nil {
		t.Error("the first consumer on the mended path:", err)
	}
	f.returns(had, back)
}

// The provider still holds the old session when the client comes anew.
func TestCarrierBlackholedForTheOldSessionOnly(t *testing.T) {
	t.Parallel()
	f := startFar(t, pairOptions{})
	u := f.use()
	local := strings.Fields(f.on(clientServer, "ss", "-Htn", "dst", bigAddress, "dport", "=", carrierPort))[3]
	port := local[strings.LastIndexByte(local, ':')+1:]
	f.iptables(clientServer, "-I", "OUTPUT", "-o", "wan", "-p", "tcp", "--sport", port, "-j", "DROP")
	f.iptables(clientServer, "-I", "INPUT", "-i", "wan", "-p", "tcp", "--dport", port, "-j", "DROP")
	gone := time.Now()
	<-time.After(2 * time.Second) // a session is suspect after 1 s of silence
	// The first is reset, as nobody knows what became of its bytes; it makes the
	// client look, and the next goes by the new session.
	if err := f.visit(); err != nil && !isReset(err) {
		t.Error("the first consumer while the old session is dead:", err)
	}
	if err := f.visit(); err != nil {
		t.Error("the next consumer while the old session is dead:", err)
	}
	if n := f.provider.count("client connected"); n != 2 {
		t.Errorf("%d sessions were accepted, want the old one and the new one", n)
	}
	u.areReset(t, gone.Add(deadBy))
	f.provider.waitLog("client disconnected")
	if err := f.visit(); err != nil {
		t.Error("a consumer when the old session is gone:", err)
	}
}

func TestPeerKilled(t *testing.T) {
	t.Run("client", func(t *testing.T) {
		f := startFar(t, pairOptions{})
		u := f.use()
		f.client.signal(syscall.SIGKILL)
		u.areReset(t, time.Now().Add(soon))
		f.connect()
		if err := f.visit(); err != nil {
			t.Error("a consumer of the next client:", err)
		}
		f.provider.waitLog("client disconnected")
	})
	t.Run("provider", func(t *testing.T) {
		f := startFar(t, pairOptions{})
		u := f.use()
		had := f.sessions()
		f.provider.signal(syscall.SIGKILL)
		u.areReset(t, time.Now().Add(soon))
		<-f.provider.done
		f.serve()
		f.returns(had, back)
	})
}

// A stopped process answers nothing, but its kernel acknowledges every byte.
func TestPeerStopped(t *testing.T) {
	t.Parallel()
	t.Run("for-a-moment", func(t *testing.T) {
		t.Parallel()
		f := startFar(t, pairOptions{})
		consumer, service := f.dial()
		for name, p := range map[string]*process{"client": f.client, "provider": f.provider} {
			exchange(t, consumer, service)
			<-time.After(100 * time.Millisecond) // parked
			p.signal(syscall.SIGSTOP)
			consumer.Write([]byte("there"))
			service.Write([]byte("back"))
			<-time.After(3 * time.Second) // the event is that nothing ends
			p.signal(syscall.SIGCONT)
			for want, c := range map[string]*net.TCPConn{"there": service, "back": consumer} {
				buf := make([]byte, len(want))
				c.SetReadDeadline(time.Now().Add(patience))
				if n, err := c.Read(buf); err != nil || string(buf[:n]) != want {
					t.Fatalf("after the %s slept: %q, %v; want %q", name, buf[:n], err, want)
				}
			}
		}
		if n := f.sessions(); n != 1 {
			t.Errorf("%d sessions, want the one", n)
		}
	})
	t.Run("client", func(t *testing.T) {
		t.Parallel()
		f := startFar(t, pairOptions{})
		u := f.use()
		had := f.sessions()
		f.client.signal(syscall.SIGSTOP)
		stopped := time.Now()
		u.only(1).areReset(t, stopped.Add(deadBy))
		f.provider.waitLog("client disconnected", "silent")
		f.client.signal(syscall.SIGCONT)
		u.only(0).areReset(t, time.Now().Add(soon))
		f.returns(had, back)
	})
	t.Run("provider", func(t *testing.T) {
		t.Parallel()
		f := startFar(t, pairOptions{})
		u := f.use()
		had := f.sessions()
		f.provider.signal(syscall.SIGSTOP)
		u.only(0).areReset(t, time.Now().Add(deadBy))
		f.provider.signal(syscall.SIGCONT)
		woken := time.Now()
		u.only(1).areReset(t, woken.Add(soon))
		// The attempt that met the stopped provider goes on where it was.
		f.returns(had, 2*back)
	})
}
