package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"
)

// backend is what the consumers of a work talk to. One of a kind serves a run.
type backend struct {
	port int
	// probe has a word with it, to see that a way leads there.
	probe func(net.Conn) error
	// fresh brings it to the state that a work begins with. It may be nil.
	fresh func() error
	load  *loadServer // that it is, or nil
	stop  func() error
}

// The kinds of backend.
const (
	backendLoad     = "load"
	backendRedis    = "redis"
	backendPostgres = "postgres"
	backendHTTP     = "http"
)

func startBackend(ctx context.Context, kind, dir string) (*backend, error) {
	starts := map[string]func(context.Context, string) (*backend, error){
		backendLoad: startLoadServer, backendRedis: startRedis, backendPostgres: startPostgres, backendHTTP: startHTTP,
	}
	b, err := starts[kind](ctx, dir)
	if err != nil {
		return nil, fmt.Errorf("backend %s: %w", kind, err)
	}
	return b, nil
}

// Bounds of the wait for what has been started.
const (
	startWithin = 20 * time.Second
	probeWithin = 5 * time.Second
	probeAgain  = 20 * time.Millisecond
)

// await probes a port until it answers. It gives up when ctx is done, with its
// cause, or when that takes too long.
func await(ctx context.Context, port int, probe func(net.Conn) error) error {
	ctx, cancel := context.WithTimeout(ctx, startWithin)
	defer cancel()
	for {
		err := once(ctx, port, probe)
		if err == nil {
			return nil
		}
		if sleep(ctx, probeAgain) != nil {
			return fmt.Errorf("127.0.0.1:%d does not answer: %w: %w", port, err, context.Cause(ctx))
		}
	}
}

func once(ctx context.Context, port int, probe func(net.Conn) error) error {
	d := net.Dialer{Timeout: probeWithin}
	c, err := d.DialContext(ctx, "tcp", loopback(port))
	if err != nil {
		return err
	}
	defer c.Close()
	defer context.AfterFunc(ctx, func() { c.Close() })()
	return errors.Join(c.SetDeadline(time.Now().Add(probeWithin)), probe(c))
}

// accepts is the probe of a port that need do no more.
func accepts(net.Conn) error { return nil }

// sleep waits for d, or fails with the cause of ctx's end.
func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
