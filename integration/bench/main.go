// Command bench measures our pair beside the other tunnels that this machine
// has, all on loopback, and prints medians and ratios as Markdown tables.
//
//	go run ./integration/bench                                    everything, five rounds
//	go run ./integration/bench -list                              what there is to measure
//	go run ./integration/bench -work get1,up1 -systems ambassador,haproxy
//	go run ./integration/bench -ambassador ./new -base ./old      before and after, in one run
//
// docs/performance.md says what each work is, and how the figures are to be
// read. Where things are:
//
//	rounds.go        the loop over rounds, work and systems
//	system.go        what a system is; ambassador.go is our pair, peers.go the others
//	tunnel.go        a system at work: its processes between consumer and backend
//	work.go          what a work is; work_*.go are the works
//	backend.go       what is at the far end; backend_*.go are the backends
//	carrier.go       the way between the two proxies, 50 ms long
//	shape.go         the way between the two proxies, 200 Mbit/s wide
//	process.go       processes, and proc.go what they use
//	report.go        samples to tables, and stats.go to medians and ratios
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// run is main with its exit code, which is the ambassador's: 0 done, 1 failed, 2
// wrong usage.
func run(args []string, stdout, stderr io.Writer) int {
	o, err := parseOptions(args, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err == nil {
		// The signals stay caught until all is cleaned up: a second one would leave
		// processes and the shaping of lo behind.
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
		defer stop()
		err = bench(ctx, o, stdout, stderr)
	}
	if err == nil {
		return 0
	}
	fmt.Fprintln(stderr, "bench:", err)
	if wrong := (*usageError)(nil); errors.As(err, &wrong) {
		return 2
	}
	return 1
}

// bench measures and reports. It leaves nothing behind, whatever it returns.
func bench(ctx context.Context, o options, stdout, stderr io.Writer) (err error) {
	if err := checkPlatform(); err != nil {
		return err
	}
	p, err := choose(o)
	if err != nil {
		return err
	}
	if o.list {
		return p.list(stdout)
	}
	raw := io.Discard
	if o.json != "" {
		f, err := os.Create(o.json) // now, and not when all is measured
		if err != nil {
			return usagef("-json: %v", err)
		}
		defer f.Close()
		raw = f
	}
	h, err := newHost(ctx, o, p, stderr)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, h.close()) }()
	measured := h.measureAll(ctx)
	return errors.Join(measured, h.report(stdout), h.record(raw))
}
