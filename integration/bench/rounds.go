package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

// measureWithin bounds one measurement at full size.
const measureWithin = 3 * time.Minute

// host is this machine during a run: the files and the backends that all
// measurements share.
type host struct {
	plan
	options
	dir      string
	stderr   io.Writer
	about    []string // the machine and the systems, for the report
	backends map[string]*backend
	samples  []sample
}

// sample is what one measurement found.
type sample struct {
	Round  int                `json:"round"`
	Work   string             `json:"work"`
	System string             `json:"system"`
	Values map[string]float64 `json:"values"`
	// CPU is the proxies' time for each unit of the work, in the work's unit. It
	// is nil where there are no proxies.
	CPU *float64 `json:"cpu,omitempty"`
}

// newHost makes and starts what lasts for all of the run.
func newHost(ctx context.Context, o options, p plan, stderr io.Writer) (_ *host, err error) {
	dir, err := os.MkdirTemp("", "ambassador-bench-")
	if err != nil {
		return nil, err
	}
	h := &host{plan: p, options: o, dir: dir, stderr: stderr, backends: map[string]*backend{}}
	defer func() {
		if err != nil {
			err = errors.Join(err, h.close())
		}
	}()
	if _, err := raiseFileLimit(); err != nil {
		return nil, err
	}
	if err := makePKI(dir); err != nil {
		return nil, err
	}
	for _, s := range h.systems {
		if s.prepare == nil {
			continue
		}
		if err := s.prepare(ctx, dir); err != nil {
			return nil, err
		}
	}
	for _, w := range h.works {
		if h.backends[w.backend] != nil {
			continue
		}
		if h.backends[w.backend], err = startBackend(ctx, w.backend, dir); err != nil {
			return nil, err
		}
	}
	h.describe(ctx)
	return h, nil
}

// close ends what is left.
func (h *host) close() error {
	var err error
	for _, b := range h.backends {
		if b != nil {
			err = errors.Join(err, b.stop())
		}
	}
	return errors.Join(err, os.RemoveAll(h.dir))
}

// measureAll measures everything once a round. A round takes work by work, and in
// each one system after the other, so that what is compared was measured within a
// minute or two; who is first changes from round to round. Failures are reported
// and left out; the error says how many there were.
func (h *host) measureAll(ctx context.Context) error {
	failed := 0
	for round := 1; round <= h.rounds; round++ {
		for _, w := range h.works {
			for i := range h.systems {
				s := h.systems[(i+round-1)%len(h.systems)]
				if !w.suits(s) {
					continue
				}
				fmt.Fprintf(h.stderr, "round %d of %d: %s, %s\n", round, h.rounds, w.name, s.name)
				sample, err := h.measure(ctx, w, s)
				if ctx.Err() != nil {
					return fmt.Errorf("stopped in round %d of %d", round, h.rounds)
				}
				if err != nil {
					failed++
					fmt.Fprintf(h.stderr, "round %d: %s, %s failed: %v\n", round, w.name, s.name, err)
					continue
				}
				sample.Round = round
				h.samples = append(h.samples, sample)
			}
		}
	}
	if failed > 0 {
		return fmt.Errorf("%d measurements failed, and are not in the tables", failed)
	}
	return nil
}

// measure has one work done through one system, which is started for it.
func (h *host) measure(ctx context.Context, w work, s system) (_ sample, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, max(measureWithin, h.scale.time(measureWithin)), errors.New("takes too long"))
	defer cancel()
	b := h.backends[w.backend]
	if b.fresh != nil {
		if err := b.fresh(); err != nil {
			return sample{}, err
		}
	}
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	t, err := startTunnel(ctx, fail, h.dir, s, w, b)
	if err != nil {
		return sample{}, err
	}
	defer func() { err = errors.Join(err, t.stop()) }()
	before, err := t.usage()
	if err != nil {
		return sample{}, err
	}
	r, err := w.load(ctx, t, h.scale)
	if cause := context.Cause(ctx); cause != nil && !errors.Is(err, cause) {
		err = errors.Join(cause, err) // a proxy that ended, most of all
	}
	if err == nil && r.amount == 0 {
		err = errors.New("nothing was done in the time")
	}
	if err != nil {
		return sample{}, err
	}
	after, err := t.usage()
	return w.sample(s, r, after.cpu-before.cpu), err
}

// sample is a result in the form that is kept.
func (w work) sample(s system, r result, cpu time.Duration) sample {
	made := sample{Work: w.name, System: s.name, Values: map[string]float64{}}
	for i, f := range w.figures {
		if v := r.values[i]; v == v { // not NaN
			made.Values[f.name] = v
		}
	}
	if s.kind != direct {
		each := float64(cpu) / float64(w.unit.scale) / r.amount
		made.CPU = &each
	}
	return made
}
