package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"ambassador/internal/admin"

	"github.com/spf13/cobra"
)

func newDrain(env environment) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "drain",
		Short: "End a running ambassador as SIGTERM does: no new connections, the running ones may finish",
		Long: `Has the ambassador here take no new connections, and end when the running ones are
done or its --drain-timeout is over. With --wait it is waited for.`,
		Args: exactArgs(0, "no arguments"),
	}
	find := addFinder(cmd.Flags(), env)
	wait := cmd.Flags().Bool("wait", false, "wait until the ambassador has ended")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		r, err := find.one(cmd.Context())
		if err != nil {
			return err
		}
		defer r.Close()
		return drainRemote(cmd.Context(), r, *wait, env.stdout, newProgress(env.stderr))
	}
	return cmd
}

func drainRemote(ctx context.Context, r *admin.Remote, wait bool, w io.Writer, p *progress) error {
	before, err := beginDrain(ctx, r)
	if err != nil {
		return askFailed(r, err)
	}
	if !wait {
		_, err := fmt.Fprintln(w, before.Verdict)
		return err
	}
	defer p.end()
	for {
		now, err := drainLook(ctx, r)
		// Another process may have taken its place already.
		if err != nil || now.PID != before.PID {
			_, err := fmt.Fprintln(w, "drained: the ambassador has ended")
			return err
		}
		p.say(now.Verdict)
		select {
		case <-time.After(waitEvery):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// beginDrain tells it to drain, and returns how it is then.
func beginDrain(ctx context.Context, r *admin.Remote) (admin.Status, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	s, err := r.Status(ctx, 0, 0) // who it is
	if err != nil {
		return s, err
	}
	if err := r.Drain(ctx); err != nil {
		return s, err
	}
	if now, err := r.Status(ctx, 0, 0); err == nil && now.PID == s.PID {
		return now, nil
	}
	s.Verdict = "drained" // so soon
	return s, nil
}

func drainLook(ctx context.Context, r *admin.Remote) (admin.Status, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	return r.Status(ctx, 0, 0)
}
