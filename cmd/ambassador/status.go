package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"ambassador/internal/admin"

	"github.com/spf13/cobra"
)

// How fresh what a person is shown of backends is, and how long looking into them
// may take: less than one waits for a command without wondering.
const (
	statusAge   = 2 * time.Second
	statusCheck = 5 * time.Second
	askTimeout  = 15 * time.Second
)

func newStatus(env environment) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show how a running ambassador is: a verdict, its links and peers, warnings",
		Long: `Shows how the ambassador that runs here is. The first line is the verdict; the
exit code is 1 unless the ambassador is ready: the tunnel is up, and the backends
of all its links answer. They are looked into for it.`,
		Args: exactArgs(0, "no arguments"),
	}
	find := addFinder(cmd.Flags(), env)
	output := addOutput(cmd.Flags())
	watch := addWatch(cmd.Flags())
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		asJSON, err := wantsJSON(*output)
		if err != nil {
			return err
		}
		return watch.show(cmd, env, func(ctx context.Context, w io.Writer) error {
			return showStatuses(ctx, w, find, asJSON, paintsOn(env))
		})
	}
	return cmd
}

// showStatuses shows all ambassadors that run here.
func showStatuses(ctx context.Context, w io.Writer, find *finder, asJSON bool, p paint) error {
	found, err := find.all(ctx)
	if err != nil {
		return err
	}
	ready := true
	for i, r := range found {
		s, err := r.Status(ctx, statusAge, statusCheck)
		r.Close()
		if err != nil {
			return askFailed(r, err)
		}
		ready = ready && s.Ready
		if asJSON {
			err = writeLine(w, s)
		} else {
			if i > 0 {
				fmt.Fprintln(w)
			}
			err = printStatus(w, &s, p, len(found) > 1)
		}
		if err != nil {
			return err
		}
	}
	if !ready {
		return &exitError{exitFailed, errSaid}
	}
	return nil
}

// askFailed says of an error which ambassador it is about.
func askFailed(r *admin.Remote, err error) error {
	if refused := (*admin.RefusedError)(nil); errors.As(err, &refused) {
		return err
	}
	return fmt.Errorf("asking the ambassador on %s: %w", r.Path(), err)
}
