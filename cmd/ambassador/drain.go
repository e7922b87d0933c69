package main

import (
	"context"
	"errors"
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
	output := addOutput(cmd.Flags())
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		asJSON, err := wantsJSON(*output)
		if err != nil {
			return err
		}
		r, err := find.one(cmd.Context())
		if err != nil {
			return err
		}
		defer r.Close()
		d, err := drainRemote(cmd.Context(), r, *wait, newProgress(env.stderr))
		if err != nil {
			return err
		}
		return said(env.stdout, asJSON, d.Verdict, d)
	}
	return cmd
}

func drainRemote(ctx context.Context, r *admin.Remote, wait bool, p *progress) (admin.Drained, error) {
	d := admin.Drained{Schema: admin.Schema}
	before, ended, err := beginDrain(ctx, r)
	if err != nil {
		return d, askFailed(r, err)
	}
	if !wait {
		d.Ended, d.Verdict = ended, before.Verdict
		return d, nil
	}
	defer p.end()
	for {
		now, err := drainLook(ctx, r)
		switch {
		case errors.Is(err, context.DeadlineExceeded):
			p.say(askFailed(r, err).Error()) // it is there still
		case err != nil || now.PID != before.PID:
			// Another process may have taken its place already.
			d.Ended, d.Verdict = true, "drained: the ambassador has ended"
			return d, nil
		default:
			p.say(now.Verdict)
		}
		select {
		case <-time.After(waitEvery):
		case <-ctx.Done():
			return d, ctx.Err()
		}
	}
}

// beginDrain tells it to drain, and returns how it is then. With nothing to wait
// for it may have ended by then.
func beginDrain(ctx context.Context, r *admin.Remote) (s admin.Status, ended bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	if s, err = r.Status(ctx, 0, 0); err != nil { // who it is
		return s, false, err
	}
	if err := r.Drain(ctx); err != nil {
		return s, false, err
	}
	if now, err := r.Status(ctx, 0, 0); err == nil && now.PID == s.PID {
		return now, false, nil
	}
	s.Verdict = "drained"
	return s, true, nil
}

func drainLook(ctx context.Context, r *admin.Remote) (admin.Status, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	return r.Status(ctx, 0, 0)
}
