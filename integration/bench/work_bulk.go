package main

import (
	"context"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// How bulk is measured: what moves in bulkTime, once bulkWarm has gone by. They
// are those of "iperf3 -t 4 -O 1".
const (
	bulkWarm = time.Second
	bulkTime = 4 * time.Second
	// wideTime is for the path with a long round trip, where rates grow slowly.
	wideTime = 6 * time.Second
)

// bulkWorks are streams of bytes, as many as will go.
func bulkWorks() []work {
	wide := bulkWork("wan_down1", "one download, at a round trip of 50 ms", wantDownload, 1, wideTime)
	wide.wide = true
	return []work{
		bulkWork("up1", "one upload", wantUpload, 1, bulkTime),
		bulkWork("down1", "one download", wantDownload, 1, bulkTime),
		bulkWork("up8", "eight uploads at a time", wantUpload, 8, bulkTime),
		bulkWork("down8", "eight downloads at a time", wantDownload, 8, bulkTime),
		wide,
	}
}

func bulkWork(name, what string, want byte, streams int, length time.Duration) work {
	return work{
		name: name, what: what, figures: []figure{{name: "MB/s", compared: true}}, unit: perGigabyte, backend: backendLoad,
		load: func(ctx context.Context, t *tunnel, e effort) (result, error) {
			f, err := startFlows(ctx, t, want, streams)
			if err != nil {
				return result{}, err
			}
			rate, err := f.rate(e.time(bulkWarm), e.time(length))
			if err = f.stop(err); err != nil {
				return result{}, err
			}
			return result{values: []float64{rate / 1e6}, amount: float64(f.moved()) / 1e9}, nil
		},
	}
}

// flows are consumers that move bytes one way until they are stopped.
type flows struct {
	ctx     context.Context
	cancel  context.CancelCauseFunc
	running sync.WaitGroup
	count   *atomic.Int64 // of the bytes that arrived, which are those that count
	before  int64
}

// startFlows connects and starts them. One that ends too early ends f.ctx.
func startFlows(ctx context.Context, t *tunnel, want byte, streams int) (*flows, error) {
	f := &flows{count: new(atomic.Int64)}
	if want == wantUpload {
		f.count = &t.backend.load.uploaded
	}
	f.before = f.count.Load()
	f.ctx, f.cancel = context.WithCancelCause(ctx)
	for range streams {
		c, err := consumer(f.ctx, t.entry, want)
		if err != nil {
			return nil, f.stop(err)
		}
		f.running.Go(func() {
			defer c.Close()
			defer context.AfterFunc(f.ctx, func() { c.Close() })()
			f.cancel(fmt.Errorf("a stream of bulk ended: %w", f.move(c, want)))
		})
	}
	return f, nil
}

// consumer connects to the load server and says what it wants.
func consumer(ctx context.Context, port int, want byte) (net.Conn, error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", loopback(port))
	if err != nil {
		return nil, err
	}
	if _, err := c.Write([]byte{want}); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

func (f *flows) move(c net.Conn, want byte) error {
	if want == wantDownload {
		return receive(c, f.count)
	}
	for buf := make([]byte, block); ; {
		if _, err := c.Write(buf); err != nil {
			return err
		}
	}
}

// moved is how many bytes have arrived.
func (f *flows) moved() int64 { return f.count.Load() - f.before }

// rate is the bytes a second of length, after a time to warm up.
func (f *flows) rate(warm, length time.Duration) (float64, error) {
	if err := sleep(f.ctx, warm); err != nil {
		return 0, err
	}
	began, before := time.Now(), f.moved()
	if err := sleep(f.ctx, length); err != nil {
		return 0, err
	}
	return float64(f.moved()-before) / time.Since(began).Seconds(), nil
}

// errStopped ends flows that have done their work.
var errStopped = fmt.Errorf("stopped")

// stop ends them, and returns err, or what ended one of them before.
func (f *flows) stop(err error) error {
	f.cancel(errStopped)
	f.running.Wait()
	if cause := context.Cause(f.ctx); err == nil && cause != errStopped {
		return cause
	}
	return err
}
