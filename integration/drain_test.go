package integration

import (
	"io"
	"net"
	"syscall"
	"testing"
	"time"
)

func (p *process) signal(s syscall.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}

// drained are the services that drain, each with a way through it.
var drained = map[string]func(t *testing.T, b *backend, args ...string) (p *process, entry string){
	"provider": func(t *testing.T, b *backend, args ...string) (*process, string) {
		pair := startPair(t, b.addr, pairOptions{serve: args})
		return pair.provider, pair.entry
	},
	"client": func(t *testing.T, b *backend, args ...string) (*process, string) {
		pair := startPair(t, b.addr, pairOptions{connect: args})
		return pair.client, pair.entry
	},
	"forward": func(t *testing.T, b *backend, args ...string) (*process, string) {
		port := freePort(t)
		p := run(t, []string{"BACKEND_PORT_" + port + "_TCP=tcp://" + b.addr}, append([]string{"forward"}, args...)...)
		p.waitLog("forwarding")
		return p, "127.0.0.1:" + port
	},
}

func TestDrainLetsRunningConnectionsFinish(t *testing.T) {
	t.Parallel()
	for name, start := range drained {
		t.Run(name, func(t *testing.T) {
			b := newBackend(t)
			p, entry := start(t, b)
			consumer, service := b.dial(t, entry)
			exchange(t, consumer, service)
			p.signal(syscall.SIGTERM)
			p.waitLog("draining: no new connections, waiting for the running ones")
			exchange(t, consumer, service)
			if _, err := service.Write([]byte("the last words")); err != nil {
				t.Fatal(err)
			}
			service.CloseWrite()
			consumer.CloseWrite()
			if got, err := readAll(consumer, patience); string(got) != "the last words" || err != nil {
				t.Fatalf("%q, %v; want the rest and a clean end", got, err)
			}
			if code := p.exit(); code != 0 {
				t.Fatalf("exit %d, want 0", code)
			}
		})
	}
}

func TestHangupEndsNothing(t *testing.T) {
	t.Parallel()
	for name, start := range drained {
		t.Run(name, func(t *testing.T) {
			b := newBackend(t)
			p, entry := start(t, b)
			consumer, service := b.dial(t, entry)
			exchange(t, consumer, service)
			p.signal(syscall.SIGHUP)
			p.waitLog("reloading")
			exchange(t, consumer, service)
			consumer.Close()
			service.Close()
			p.signal(syscall.SIGTERM)
			if code := p.exit(); code != 0 {
				t.Fatalf("exit %d, want 0", code)
			}
		})
	}
}

func TestDrainWithNothingRunningIsQuick(t *testing.T) {
	for name, start := range drained {
		t.Run(name, func(t *testing.T) {
			b := newBackend(t)
			p, _ := start(t, b)
			began := time.Now()
			p.signal(syscall.SIGTERM)
			if code := p.exit(); code != 0 || time.Since(began) > 5*time.Second {
				t.Fatalf("exit %d after %v, want 0 at once", code, time.Since(began))
			}
		})
	}
}

func TestDrainThatTimesOutResetsAndExitsWith3(t *testing.T) {
	t.Parallel()
	for name, start := range drained {
		t.Run(name, func(t *testing.T) {
			b := newBackend(t)
			p, entry := start(t, b, "--drain-timeout", "300ms")
			consumer, service := b.dial(t, entry)
			exchange(t, consumer, service)
			p.signal(syscall.SIGTERM)
			for end, c := range map[string]*net.TCPConn{"consumer": consumer, "service": service} {
				if got, err := readAll(c, patience); !isReset(err) {
					t.Errorf("%s: %q, %v; want a reset, never a clean end", end, got, err)
				}
			}
			if code := p.exit(); code != 3 {
				t.Fatalf("exit %d, want 3", code)
			}
		})
	}
}

func TestSecondSignalEndsAtOnce(t *testing.T) {
	for name, start := range drained {
		t.Run(name, func(t *testing.T) {
			b := newBackend(t)
			p, entry := start(t, b)
			consumer, service := b.dial(t, entry)
			exchange(t, consumer, service)
			p.signal(syscall.SIGTERM)
			p.waitLog("draining: no new connections, waiting for the running ones")
			p.signal(syscall.SIGTERM)
			seesReset(t, consumer)
			if code := p.exit(); code != 1 {
				t.Fatalf("exit %d, want 1", code)
			}
		})
	}
}

func TestClientMovesToTheNextProviderWhileTheOldOneDrains(t *testing.T) {
	b := newBackend(t)
	dir := t.TempDir()
	issue(t, dir+"/provider", dir+"/client")
	first := startProvider(t, dir+"/provider", "--link", "backend="+b.addr)
	address := first.address()
	_, port, _ := net.SplitHostPort(b.addr)
	entry := "127.0.0.1:" + freePort(t)
	c := run(t, nil, "connect", address, "--state-dir", dir+"/client", "--expose", entry+"=backend:"+port)
	c.waitLog("connected to the provider")
	oldConsumer, oldService := b.dial(t, entry)
	exchange(t, oldConsumer, oldService)

	first.signal(syscall.SIGTERM)
	c.waitLog("provider is draining, moving to a new session")
	second := run(t, nil, "serve", "--listen", address, "--state-dir", dir+"/provider", "--link", "backend="+b.addr)
	second.waitLog("serving")
	newConsumer, newService := b.dial(t, entry) // waits in the hold budget for the new session
	exchange(t, newConsumer, newService)
	exchange(t, oldConsumer, oldService)

	oldConsumer.CloseWrite()
	oldService.CloseWrite()
	if code := first.exit(); code != 0 {
		t.Fatalf("exit %d, want 0", code)
	}
	exchange(t, newConsumer, newService)
}

// TestDrainUnderLoad: with the time over, every transfer that is left is reset, none
// looks finished, and the exit code says so.
func TestDrainUnderLoad(t *testing.T) {
	for name, start := range drained {
		t.Run(name, func(t *testing.T) {
			b := newBackend(t)
			p, entry := start(t, b, "--drain-timeout", "1s")
			const transfers = 30
			ended := make(chan error, transfers)
			for range transfers {
				consumer, service := b.dial(t, entry)
				go func() {
					for {
						if _, err := service.Write(make([]byte, 64<<10)); err != nil {
							return
						}
					}
				}()
				go func() {
					_, err := io.Copy(io.Discard, consumer)
					ended <- err
				}()
			}
			began := time.Now()
			p.signal(syscall.SIGTERM)
			p.waitLog("draining: no new connections, waiting for the running ones")
			if err := visit(entry, []byte("late")); err == nil {
				t.Error("a consumer was served while draining")
			}
			for range transfers {
				if err := <-ended; !isReset(err) {
					t.Errorf("%v; want a reset, never a clean end", err)
				}
			}
			if code := p.exit(); code != 3 {
				t.Errorf("exit %d, want 3", code)
			}
			// A process under the race detector stays a second longer (atexit_sleep_ms,
			// go.dev/doc/articles/race_detector).
			if took := time.Since(began); took < time.Second || took > 4*time.Second {
				t.Errorf("ended after %v, want 1 s", took)
			}
		})
	}
}
