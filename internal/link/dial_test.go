package link_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"runtime"
	"syscall"
	"testing"
	"time"

	"ambassador/internal/link"
)

func listen(t *testing.T, address string) (net.Listener, link.Target) {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	a := l.Addr().(*net.TCPAddr)
	return l, link.Target{Host: "127.0.0.1", Port: uint16(a.Port)}
}

func TestDialWithoutHoldTriesOnce(t *testing.T) {
	l, target := listen(t, "127.0.0.1:0")
	l.Close()
	var d link.Dialer
	_, err := d.Dial(t.Context(), target, 0)
	if !errors.Is(err, syscall.ECONNREFUSED) {
		t.Fatalf("%v, want connection refused", err)
	}
}

func TestDialTriesAgainWhileTheHoldBudgetLasts(t *testing.T) {
	l, target := listen(t, "127.0.0.1:0")
	address := l.Addr().String()
	l.Close()
	var d link.Dialer
	dialled := make(chan error, 1)
	go func() {
		c, err := d.Dial(t.Context(), target, 20*time.Second)
		if err == nil {
			err = c.Close()
		}
		dialled <- err
	}()
	select {
	case err := <-dialled:
		t.Fatalf("gave up at once: %v", err)
	case <-time.After(2 * 50 * time.Millisecond): // longer than the first pause
	}
	again, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if err := <-dialled; err != nil {
		t.Fatal(err)
	}
}

func TestDialGivesUpWhenTheHoldBudgetIsSpent(t *testing.T) {
	l, target := listen(t, "127.0.0.1:0")
	l.Close()
	var d link.Dialer
	began := time.Now()
	_, err := d.Dial(t.Context(), target, 300*time.Millisecond)
	took := time.Since(began)
	if !errors.Is(err, syscall.ECONNREFUSED) || took < 200*time.Millisecond || took > 5*time.Second {
		t.Fatalf("%v after %v; want connection refused after 300ms", err, took)
	}
}

func TestDialEndsWithItsContext(t *testing.T) {
	l, target := listen(t, "127.0.0.1:0")
	l.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var d link.Dialer
	if _, err := d.Dial(ctx, target, time.Hour); err == nil {
		t.Fatal("dialled after its context had ended")
	}
}

func TestDialPrefersTheAliasThatResolves(t *testing.T) {
	_, target := listen(t, "127.0.0.1:0")
	var d link.Dialer
	// localhost stands in the hosts file, as a legacy link's alias does; the
	// address in the environment has gone stale.
	stale := link.Target{Host: "192.0.2.1", Port: target.Port, Alias: "localhost"}
	c, err := d.Dial(t.Context(), stale, 0)
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	gone := link.Target{Host: "127.0.0.1", Port: target.Port, Alias: "no-such-alias.invalid"}
	if c, err = d.Dial(t.Context(), gone, 0); err != nil {
		t.Fatal(err)
	}
	c.Close()
}

func TestDialRefusesTheAmbassadorItself(t *testing.T) {
	for _, bound := range []string{"127.0.0.1:0", "0.0.0.0:0"} {
		l, target := listen(t, bound)
		d := link.Dialer{Self: link.OwnListeners(l.Addr())}
		began := time.Now()
		_, err := d.Dial(t.Context(), target, time.Minute)
		if !errors.Is(err, link.ErrSelf) || time.Since(began) > 10*time.Second {
			t.Errorf("bound to %s: %v after %v; want ErrSelf at once", bound, err, time.Since(began))
		}
	}
}

func TestOwnListenersKnowsEveryAddressOfTheMachine(t *testing.T) {
	any4, loop := listener("0.0.0.0:6379"), listener("127.0.0.1:7000")
	self := link.OwnListeners(any4, loop)
	for addr, want := range map[string]bool{
		"127.0.0.1:6379": true, "127.9.9.9:6379": true, "[::ffff:127.0.0.1]:6379": true, "192.0.2.7:6379": false,
		"127.0.0.1:7000": true, "127.0.0.2:7000": false, "127.0.0.1:1": false, "0.0.0.0:7000": true,
	} {
		if got := self(netip.MustParseAddrPort(addr)); got != want {
			t.Errorf("%s: %v, want %v", addr, got, want)
		}
	}
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addrs {
		ip := netip.MustParsePrefix(a.String()).Addr()
		if !self(netip.AddrPortFrom(ip, 6379)) {
			t.Errorf("own address %v is not known", ip)
		}
	}
}

type listener string

func (listener) Network() string  { return "tcp" }
func (l listener) String() string { return string(l) }

func TestCheckDoesNotStayConnected(t *testing.T) {
	l, target := listen(t, "127.0.0.1:0")
	var d link.Dialer
	if err := d.Check(t.Context(), target); err != nil {
		t.Fatal(err)
	}
	if runtime.GOOS == "linux" {
		// The service does not even learn of it: what it accepts next is the dial.
		for range 100 {
			if err := d.Check(t.Context(), target); err != nil {
				t.Fatal(err)
			}
		}
		c, err := d.Dial(t.Context(), target, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		accepted, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer accepted.Close()
		if got, want := accepted.RemoteAddr().String(), c.LocalAddr().String(); got != want {
			t.Errorf("accepted %s first, which was a check; want %s", got, want)
		}
	}
	l.Close()
	if err := d.Check(t.Context(), target); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("with nobody there: %v", err)
	}
	d.Self = func(netip.AddrPort) bool { return true }
	if err := d.Check(t.Context(), target); !errors.Is(err, link.ErrSelf) {
		t.Errorf("of the ambassador itself: %v", err)
	}
}

func TestEachAttemptIsTold(t *testing.T) {
	l, target := listen(t, "127.0.0.1:0")
	address := l.Addr().String()
	l.Close()
	var d link.Dialer
	failed := make(chan error, 100)
	dialled := make(chan error, 1)
	go func() {
		c, err := d.DialEach(t.Context(), target, time.Minute, func(err error, took time.Duration) {
			if took <= 0 {
				t.Errorf("an attempt took %v", took)
			}
			failed <- err
		})
		if err == nil {
			c.Close()
		}
		dialled <- err
	}()
	if err := <-failed; !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("the first attempt: %v", err)
	}
	again, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if err := <-dialled; err != nil {
		t.Fatal(err)
	}
	last := errors.New("none was told")
	for len(failed) > 0 {
		last = <-failed
	}
	if last != nil {
		t.Errorf("the last attempt: %v", last)
	}
}

func TestAttemptThatNobodyWaitsForTellsNothing(t *testing.T) {
	_, target := listen(t, "127.0.0.1:0")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var d link.Dialer
	_, err := d.DialEach(ctx, target, time.Minute, func(err error, _ time.Duration) { t.Errorf("told %v", err) })
	if err == nil {
		t.Error("dialled")
	}
}
