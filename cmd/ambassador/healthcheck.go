package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"ambassador/internal/admin"

	"github.com/spf13/cobra"
)

// healthAge is how fresh what a health check says of backends is: it is asked
// again and again, mostly each 5 to 30 s.
const healthAge = 5 * time.Second

func newHealthcheck(env environment) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "healthcheck",
		Short: "Say whether a running ambassador is ready, by the exit code",
		Long: `Exits with 0 if the ambassadors that run here are ready, with 1 if not, and says
which in one line: the tunnel is up, and the backends of all links answer. It is
the image's HEALTHCHECK, and needs no shell.`,
		Args: exactArgs(0, "no arguments"),
	}
	find := addFinder(cmd.Flags(), env)
	limit := cmd.Flags().Duration("timeout", 10*time.Second, "how long the answer may take")
	output := addOutput(cmd.Flags())
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		asJSON, err := wantsJSON(*output)
		if err != nil {
			return err
		}
		if *limit <= 0 {
			return usage(fmt.Errorf("--timeout %v: expected a time above 0, such as 10s", *limit))
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), *limit)
		defer cancel()
		line, err := health(ctx, find, *limit)
		if errors.Is(err, context.DeadlineExceeded) {
			return fmt.Errorf("not known within %v: %w", *limit, err)
		}
		if not := (*notReadyError)(nil); errors.As(err, &not) {
			line = not.verdict
		} else if err != nil {
			return err
		}
		return saidReady(env.stdout, asJSON, line, err)
	}
	return cmd
}

// notReadyError is a verdict that is a bad one.
type notReadyError struct{ verdict string }

func (e *notReadyError) Error() string { return "not ready: " + e.verdict }

// health is the verdicts of all ambassadors here, and an error if one of them is
// not ready.
func health(ctx context.Context, find *finder, limit time.Duration) (line string, err error) {
	found, err := find.all(ctx)
	if err != nil {
		return "", err
	}
	for _, r := range found {
		// Looking into backends ends before the whole does, so that there is a
		// verdict.
		s, err := r.Status(ctx, healthAge, limit/2)
		r.Close()
		switch {
		case err != nil:
			return "", askFailed(r, err)
		case !s.Ready:
			return "", &notReadyError{verdictOf(&s, len(found) > 1)}
		case line != "":
			line += "; "
		}
		line += verdictOf(&s, len(found) > 1)
	}
	return line, nil
}

// verdictOf is a verdict, with whose it is where there are several.
func verdictOf(s *admin.Status, several bool) string {
	if several {
		return s.Role + ": " + s.Verdict
	}
	return s.Verdict
}
