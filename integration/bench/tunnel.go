package main

import (
	"context"
	"errors"
)

// tunnel is a system at work for one measurement: processes between a consumer
// and a backend.
type tunnel struct {
	way
	system   system
	dir      string // of the run
	backend  *backend
	provider *process // nil if direct
	client   *process
	carrier  *carrier // nil but for wide-area works
}

// startTunnel starts a system and waits until it leads to the backend. It calls
// fail when one of the processes ends.
func startTunnel(ctx context.Context, fail context.CancelCauseFunc, dir string, s system, w work, b *backend) (_ *tunnel, err error) {
	t := &tunnel{system: s, dir: dir, backend: b, way: way{backend: b.port}}
	defer func() {
		if err != nil {
			err = errors.Join(err, t.stop())
		}
	}()
	if t.listen = b.port; s.kind != direct {
		if t.listen, err = freePort(); err != nil {
			return nil, err
		}
	}
	t.dial = t.listen
	if w.wide {
		if t.carrier, err = startCarrier(loopback(t.listen), roundTrip); err != nil {
			return nil, err
		}
		t.dial = portOf(t.carrier.l)
	}
	if s.kind == direct {
		t.entry = t.dial
		return t, await(ctx, t.entry, b.probe)
	}
	if t.entry, err = freePort(); err != nil {
		return nil, err
	}
	return t, t.run(ctx, fail, w.env)
}

// run starts the two proxies, first the provider's.
func (t *tunnel) run(ctx context.Context, fail context.CancelCauseFunc, env []string) error {
	provider, client, err := t.system.commands(t.dir, t.way)
	if err != nil {
		return err
	}
	if t.system.kind == ours {
		provider.env = env
	}
	if t.provider, err = watch(t.dir, provider, fail); err != nil {
		return err
	}
	if err := await(ctx, t.listen, accepts); err != nil {
		return err
	}
	if t.client, err = watch(t.dir, client, fail); err != nil {
		return err
	}
	return await(ctx, t.entry, t.backend.probe)
}

// watch starts a process and calls fail when it ends.
func watch(dir string, c command, fail context.CancelCauseFunc) (*process, error) {
	p, err := start(dir, c)
	if err == nil {
		go func() { fail(p.died()) }()
	}
	return p, err
}

// stop ends all of it.
func (t *tunnel) stop() error {
	var err error
	for _, p := range []*process{t.client, t.provider} {
		if p != nil {
			err = errors.Join(err, p.stop())
		}
	}
	if t.carrier != nil {
		err = errors.Join(err, t.carrier.stop())
	}
	return err
}

// usage is what the proxies use, both together.
func (t *tunnel) usage() (usage, error) {
	if t.system.kind == direct {
		return usage{}, nil
	}
	return usageOf(t.provider.cmd.Process.Pid, t.client.cmd.Process.Pid)
}
