package main

import (
	"context"
	"net"
	"time"
)

// idleConnections are held at a time, and looked at idleAfter after the last has
// spoken.
const (
	idleConnections = 2000
	idleAfter       = time.Second
)

// idle is what a connection costs that does nothing.
func idle() work {
	return work{
		name: "idle", what: "memory of both proxies for each of 2,000 idle connections, which have spoken once",
		figures: []figure{{name: "KiB/connection", less: true, compared: true}},
		unit:    perConnection, backend: backendLoad, proxied: true, check: enoughFiles(2*idleConnections + spareFiles),
		load: func(ctx context.Context, t *tunnel, e effort) (result, error) {
			before, err := t.usage()
			if err != nil {
				return result{}, err
			}
			n := e.count(idleConnections, 10)
			for range n {
				c, err := consumer(ctx, t.entry, wantEcho)
				if err != nil {
					return result{}, err
				}
				defer c.Close()
				if err := speak(c); err != nil {
					return result{}, err
				}
			}
			if err := sleep(ctx, idleAfter); err != nil {
				return result{}, err
			}
			after, err := t.usage()
			return result{
				values: []float64{float64(after.memory-before.memory) / float64(n) / 1024},
				amount: float64(n),
			}, err
		},
	}
}

// speak has a message of Redis' PING's size echoed.
func speak(c net.Conn) error {
	const message = "*1\r\n$4\r\nPING\r\n"
	if err := c.SetDeadline(time.Now().Add(probeWithin)); err != nil {
		return err
	}
	if _, err := c.Write([]byte(message)); err != nil {
		return err
	}
	return echoed(c, message)
}
