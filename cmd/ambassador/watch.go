package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// watching shows something again and again.
type watching struct{ every *string }

func addWatch(f *pflag.FlagSet) watching {
	w := watching{every: f.String("watch", "", "show it again each `TIME`, until Ctrl-C")}
	f.Lookup("watch").NoOptDefVal = "1s"
	return w
}

const shortestWatch = 100 * time.Millisecond

// pause is 0 if nothing is to be repeated.
func (w watching) pause() (time.Duration, error) {
	if *w.every == "" {
		return 0, nil
	}
	d, err := time.ParseDuration(*w.every)
	if err != nil || d < shortestWatch {
		return 0, usage(fmt.Errorf("--watch %q: expected a time of %v or more, such as 1s", *w.every, shortestWatch))
	}
	return d, nil
}

// show runs what writes, once, or until a signal with --watch. On a terminal an error
// is shown in its place and comes to an end by itself: the ambassador may come back,
// and a person looks. A program that reads a pipe is told by its end.
func (w watching) show(cmd *cobra.Command, env environment, write func(context.Context, io.Writer) error) error {
	pause, err := w.pause()
	if err != nil {
		return err
	}
	if pause == 0 {
		ctx, cancel := context.WithTimeout(cmd.Context(), askTimeout)
		defer cancel()
		return write(ctx, env.stdout)
	}
	ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return repeat(ctx, pause, func(ctx context.Context) error { return w.once(ctx, env, write) })
}

func repeat(ctx context.Context, pause time.Duration, do func(context.Context) error) error {
	tick := time.NewTicker(pause)
	defer tick.Stop()
	for {
		if err := do(ctx); err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// once shows it one time of many. On a terminal it takes the place of the time
// before, in one write, so that nothing flickers.
func (w watching) once(watch context.Context, env environment, write func(context.Context, io.Writer) error) error {
	ctx, cancel := context.WithTimeout(watch, askTimeout)
	defer cancel()
	var out bytes.Buffer
	err := write(ctx, &out)
	nothing := err != nil && out.Len() == 0
	if nothing && watch.Err() != nil {
		return nil // Ctrl-C
	}
	screen := screenOf(env.stdout)
	if exitCode(err) == exitUsage || nothing && screen == nil {
		return err
	}
	if screen == nil {
		_, err = env.stdout.Write(out.Bytes())
		return err
	}
	if nothing {
		fmt.Fprintf(&out, "%v\n", err)
	}
	return screen.draw(out.String())
}

// linesOf cuts a text into lines.
func linesOf(text string) []string { return strings.Split(strings.TrimSuffix(text, "\n"), "\n") }
