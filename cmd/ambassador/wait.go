package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"ambassador/internal/admin"

	"github.com/spf13/cobra"
)

// How often one who waits looks, and how fresh what it sees of backends is.
const (
	waitEvery = 200 * time.Millisecond
	waitAge   = time.Second
)

func newWait(env environment) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "wait",
		Short: "Wait until a running ambassador is ready, or one of its links is up",
		Long: `Waits until the ambassador here is ready, or with --link until that link is up,
whatever the others are. It waits for the ambassador itself to start, too. When
the time is over the exit code is 1, and the reason is what it waited for last.`,
		Example: `  ambassador wait --link redis --timeout 1m && redis-cli ping`,
		Args:    exactArgs(0, "no arguments: a link is given with --link"),
	}
	find := addFinder(cmd.Flags(), env)
	link := cmd.Flags().String("link", "", "wait for this `LINK` alone")
	cmd.Flags().Lookup("link").Annotations = map[string][]string{argumentsAlone: {}}
	limit := cmd.Flags().Duration("timeout", 30*time.Second, "how long to wait; 0 for as long as it takes")
	output := addOutput(cmd.Flags())
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		asJSON, err := wantsJSON(*output)
		if err != nil {
			return err
		}
		if *limit < 0 {
			return usage(fmt.Errorf("--timeout %v: expected a time such as 30s, or 0 to wait as long as it takes", *limit))
		}
		ctx, cancel := cmd.Context(), context.CancelFunc(func() {})
		if *limit > 0 {
			ctx, cancel = context.WithTimeout(ctx, *limit)
		}
		defer cancel()
		line, err := waitReady(ctx, find, *link, newProgress(env.stderr))
		if late := (*waitedError)(nil); errors.As(err, &late) {
			line, err = late.why, fmt.Errorf("not ready after %v: %w", *limit, err)
		} else if err != nil {
			return err
		}
		return saidReady(env.stdout, asJSON, line, err)
	}
	return cmd
}

// waitedError is why something had not come when the time was over.
type waitedError struct{ why string }

func (e *waitedError) Error() string { return e.why }
func (e *waitedError) Unwrap() error { return context.DeadlineExceeded }

// waitReady looks until all is well, and says what is. Wrong usage is not waited
// with.
func waitReady(ctx context.Context, find *finder, link string, p *progress) (line string, err error) {
	defer p.end()
	for {
		line, why, err := lookReady(ctx, find, link)
		if err != nil || why == "" {
			return line, err
		}
		p.say("waiting: " + why)
		select {
		case <-time.After(waitEvery):
		case <-ctx.Done():
			return "", &waitedError{why}
		}
	}
}

// lookReady is what is well, or why not: what may still come is no error.
func lookReady(ctx context.Context, find *finder, link string) (line, why string, err error) {
	r, err := find.one(ctx)
	if code := exitCode(err); code == exitUsage {
		return "", "", err
	}
	if err != nil {
		return "", err.Error(), nil
	}
	defer r.Close()
	s, err := r.Status(ctx, waitAge, statusCheck)
	switch {
	case err != nil:
		return "", askFailed(r, err).Error(), nil
	case link != "":
		line, why = linkReady(&s, link)
	case s.Ready:
		line = s.Verdict
	default:
		why = s.Verdict
	}
	return line, why, nil
}

// linkReady is that a link is up, or why it is not.
func linkReady(s *admin.Status, name string) (line, why string) {
	i := slices.IndexFunc(s.Links, func(l admin.Link) bool { return l.Name == name })
	switch {
	case s.Draining:
		return "", "draining"
	case i < 0 && len(s.Links) == 0:
		return "", fmt.Sprintf("there is no link %s: %s", name, s.Verdict)
	case i < 0:
		return "", fmt.Sprintf("there is no link %s: there are %s", name, strings.Join(linkNames(s.Links), ", "))
	case s.Links[i].State == admin.StateUp:
		return name + " is up", ""
	case s.Links[i].Reason == "":
		return "", name + " is not checked yet"
	}
	return "", fmt.Sprintf("%s is %s: %s", name, s.Links[i].State, reasonOf(s, &s.Links[i]))
}

// reasonOf is why a link is not up. That of a missing session is told in full by
// the verdict.
func reasonOf(s *admin.Status, l *admin.Link) string {
	for _, p := range l.Ports {
		if p.State == admin.StateDown && p.Reason == "no-session" {
			return s.Verdict
		}
	}
	return admin.Spoken(l.Reason)
}

func linkNames(links []admin.Link) []string {
	names := make([]string, len(links))
	for i := range links {
		names[i] = links[i].Name
	}
	return names
}
