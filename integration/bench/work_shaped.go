package main

import (
	"context"
	"math"
	"slices"
	"time"
)

// How shaped is measured: pings for pingTime beside downloads that have run for
// shapedWarm, one each pingPause.
const (
	shapedWarm = 2 * time.Second
	pingTime   = 5 * time.Second
	pingPause  = 5 * time.Millisecond
	pingWithin = 10 * time.Second
)

// shaped is how long a small request waits behind bulk, on the way or inside of
// a proxy.
func shaped() work {
	return work{
		name: "shaped", what: "a ping beside two downloads, on a carrier of 200 Mbit/s with a queue of 20 ms",
		figures: []figure{{name: "p50 ms", less: true, compared: true}, {name: "p99 ms", less: true, compared: true}, {name: "MB/s", compared: true}},
		unit:    perGigabyte, backend: backendLoad, check: canShape,
		load: func(ctx context.Context, t *tunnel, e effort) (r result, err error) {
			err = underShape(t.listen, func() (err error) {
				r, err = pingBesideBulk(ctx, t, e)
				return err
			})
			return r, err
		},
	}
}

func pingBesideBulk(ctx context.Context, t *tunnel, e effort) (result, error) {
	f, err := startFlows(ctx, t, wantDownload, 2)
	if err != nil {
		return result{}, err
	}
	values, err := pingsBeside(f, t.entry, e)
	err = f.stop(err)
	return result{values: values, amount: float64(f.moved()) / 1e9}, err
}

// pingsBeside returns the median and the 99th percentile of a ping's
// milliseconds, and the megabytes a second of the flows meanwhile.
func pingsBeside(f *flows, port int, e effort) ([]float64, error) {
	if err := sleep(f.ctx, e.time(shapedWarm)); err != nil {
		return nil, err
	}
	c, err := consumer(f.ctx, port, wantEcho)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	defer context.AfterFunc(f.ctx, func() { c.Close() })()
	var took []float64
	before := f.moved()
	for began, length := time.Now(), e.time(pingTime); ; {
		sent := time.Now()
		if err := c.SetDeadline(sent.Add(pingWithin)); err != nil {
			return nil, err
		}
		if _, err := c.Write([]byte(".")); err != nil {
			return nil, err
		}
		if err := echoed(c, "."); err != nil {
			return nil, err
		}
		took = append(took, time.Since(sent).Seconds()*1e3)
		if err := sleep(f.ctx, pingPause); err != nil {
			return nil, err
		}
		if past := time.Since(began); past > length {
			rate := float64(f.moved()-before) / past.Seconds() / 1e6
			return []float64{percentile(took, 50), percentile(took, 99), rate}, nil
		}
	}
}

// percentile is the value below which p of 100 are.
func percentile(values []float64, p int) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(values))
	return sorted[min(len(sorted)*p/100, len(sorted)-1)]
}
