package main

import (
	"context"
	"fmt"
	"io"
	"net/url"
	"time"

	"ambassador/internal/admin"

	"github.com/spf13/cobra"
)

// How fresh what a person is shown of backends is, how long looking into them may
// take, and how long the whole answer: no longer than one waits for a command
// without wondering. A backend is given up after 2 s, so that looking has time for
// two of them in a row.
const (
	statusAge   = 2 * time.Second
	statusCheck = 4 * time.Second
	askTimeout  = 5 * time.Second
)

func newStatus(env environment) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show how a running ambassador is: a verdict, its peers and links, warnings",
		Long: `Shows how the ambassadors that run here are. The first line is the verdict; the
exit code is 1 unless they are ready: the tunnel is up, and the backends of all
links answer, which are looked into for it.`,
		Example: `  ambassador status
  ambassador status --watch
  ambassador status -o json`,
		Args: exactArgs(0, "no arguments"),
	}
	s := addShowing(cmd, env)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		asJSON, err := wantsJSON(*s.output)
		if err != nil {
			return err
		}
		return s.watch.show(cmd, env, func(ctx context.Context, w io.Writer) error {
			return s.statuses(ctx, w, asJSON, paintOf(env))
		})
	}
	return cmd
}

// fresh asks for what is known of backends to be looked into.
func fresh() url.Values {
	return url.Values{"max_age": {statusAge.String()}, "timeout": {statusCheck.String()}}
}

// statuses shows all ambassadors that run here.
func (s *showing) statuses(ctx context.Context, w io.Writer, asJSON bool, p paint) error {
	found, err := s.find.all(ctx)
	if err != nil {
		return err
	}
	ready := true
	for i, r := range found {
		if i > 0 && !asJSON {
			fmt.Fprintln(w)
		}
		is, err := s.status(ctx, w, r, asJSON, p)
		if err != nil {
			return err
		}
		ready = ready && is
	}
	if !ready {
		return &exitError{exitFailed, errSaid}
	}
	return nil
}

func (s *showing) status(ctx context.Context, w io.Writer, r *admin.Remote, asJSON bool, p paint) (ready bool, err error) {
	defer r.Close()
	document, err := r.Raw(ctx, "/v1/status", fresh())
	if err != nil {
		return false, askFailed(r, err)
	}
	status, err := read[admin.Status](document)
	if err != nil {
		return false, err
	}
	if asJSON {
		return status.Ready, s.writeDocument(w, document)
	}
	return status.Ready, printStatus(w, &status, p)
}
