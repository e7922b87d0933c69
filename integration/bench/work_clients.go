package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math"
	"net"
	"os"
	"regexp"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"ambassador/certs"
	"ambassador/mux"
)

// clientCount clients are connected, clientsAtOnce at a time: the provider takes
// 256 handshakes at a time, and Linux has 28,232 local ports for one address and
// port to dial (ip_local_port_range, ip(7)).
const (
	clientCount   = 10000
	clientsAtOnce = 64
)

// clients is what a provider's client costs that has no connections. The clients
// are sessions of this program.
func clients() work {
	return work{
		name: "clients", what: "memory of the provider for each of 10,000 connected clients without streams",
		figures: []figure{{name: "KiB/client", less: true, compared: true}, {name: "heap KiB/client", less: true}, {name: "clients/s"}},
		unit:    perClient, backend: backendLoad, ours: true, check: enoughFiles(clientCount + spareFiles),
		env:  []string{"GODEBUG=gctrace=1"},
		load: connectClients,
	}
}

func connectClients(ctx context.Context, t *tunnel, e effort) (result, error) {
	before, err := usageOf(t.provider.cmd.Process.Pid)
	if err != nil {
		return result{}, err
	}
	n := e.count(clientCount, clientsAtOnce)
	began := time.Now()
	c, err := connectAll(ctx, t, n)
	defer c.closeAll()
	if err != nil {
		return result{}, err
	}
	took := time.Since(began)
	if err := sleep(ctx, idleAfter); err != nil {
		return result{}, err
	}
	after, err := usageOf(t.provider.cmd.Process.Pid)
	if err != nil {
		return result{}, err
	}
	for i, s := range c.sessions {
		if err := s.Err(); err != nil {
			return result{}, fmt.Errorf("client %d of %d: %w", i, n, err)
		}
	}
	heap, err := heapPerClient(t.provider, c.connected)
	each := func(bytes int64) float64 { return float64(bytes) / float64(n) / 1024 }
	return result{
		values: []float64{each(after.memory - before.memory), heap / 1024, float64(n) / took.Seconds()},
		amount: float64(n),
	}, err
}

// crowd are sessions with one provider.
type crowd struct {
	sessions  []*mux.Session
	connected []time.Time // when each was
}

// connectAll connects n clients. It stops at the first that fails.
func connectAll(ctx context.Context, t *tunnel, n int) (*crowd, error) {
	config, err := certs.ClientConfig(certs.StateFiles(clientState(t.dir, t.system.name)), "127.0.0.1")
	if err != nil {
		return &crowd{}, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var next atomic.Int64
	var mu sync.Mutex
	var c crowd
	var workers sync.WaitGroup
	for range clientsAtOnce {
		workers.Go(func() {
			for ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				s, err := connect(ctx, t.listen, config)
				if err != nil {
					cancel(fmt.Errorf("client %d of %d: %w", i, n, err))
					return
				}
				mu.Lock()
				c.sessions, c.connected = append(c.sessions, s), append(c.connected, time.Now())
				mu.Unlock()
			}
		})
	}
	workers.Wait()
	return &c, context.Cause(ctx)
}

// connect makes one session, from hello to welcome.
func connect(ctx context.Context, port int, config *tls.Config) (*mux.Session, error) {
	var d net.Dialer
	d.SetMultipathTCP(false)
	conn, err := d.DialContext(ctx, "tcp", loopback(port))
	if err != nil {
		return nil, err
	}
	s, err := mux.Client(ctx, conn, config, mux.Options{})
	if err != nil {
		return nil, err
	}
	defer context.AfterFunc(ctx, func() { s.Close() })()
	if err := s.Control().Send(mux.Message{Kind: mux.KindHello}); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	m, err := s.Control().Receive()
	if err == nil && m.Kind != mux.KindWelcome {
		err = fmt.Errorf("the provider's first message is %q: %s", m.Kind, m.Reason)
	}
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (c *crowd) closeAll() {
	var all sync.WaitGroup
	for _, s := range c.sessions {
		all.Go(func() { s.Close() })
	}
	all.Wait()
}

// gctrace is what a Go program prints for a collection with GODEBUG=gctrace=1:
// when it was, since the program began, and the megabytes of heap that it found
// alive (package runtime).
var gctrace = regexp.MustCompile(`(?m)^gc \d+ @([\d.]+)s .* \d+->\d+->(\d+) MB, `)

// heapPerClient is the live heap at the provider's last collection, over the
// clients that were connected then; NaN if there was none. To ask for a
// collection would be better, and the program has no door for that.
func heapPerClient(p *process, connected []time.Time) (float64, error) {
	log, err := os.ReadFile(p.log)
	if err != nil {
		return 0, err
	}
	all := gctrace.FindAllSubmatch(log, -1)
	if len(all) == 0 {
		return math.NaN(), nil
	}
	last := all[len(all)-1]
	at, err1 := strconv.ParseFloat(string(last[1]), 64)
	live, err2 := strconv.ParseFloat(string(last[2]), 64)
	n := 0
	for _, t := range connected {
		if t.Before(p.started.Add(time.Duration(at * float64(time.Second)))) {
			n++
		}
	}
	if n == 0 {
		return math.NaN(), errors.Join(err1, err2)
	}
	return live * (1 << 20) / float64(n), errors.Join(err1, err2)
}
