package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"ambassador/internal/admin"

	"github.com/spf13/cobra"
)

// reloadTimeout is for slow disks: files are read, and grants judged again.
const reloadTimeout = time.Minute

func newReload(env environment) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "reload",
		Short: "Have a running ambassador read certificates and grants again",
		Long: `Does what SIGHUP does, and says how it went: files that cannot be taken over are
named, what was in use before stays so, and the exit code is 1.`,
		Args: exactArgs(0, "no arguments"),
	}
	find := addFinder(cmd.Flags(), env)
	output := addOutput(cmd.Flags())
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		asJSON, err := wantsJSON(*output)
		if err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), reloadTimeout)
		defer cancel()
		r, err := find.one(ctx)
		if err != nil {
			return err
		}
		defer r.Close()
		err = r.Reload(ctx)
		if refused := (*admin.RefusedError)(nil); errors.As(err, &refused) {
			err = fmt.Errorf("not reloaded, what was in use before stays so: %w", err)
			if !asJSON {
				return err
			}
			if err := writeJSON(env.stdout, admin.Failure{Schema: admin.Schema, Error: err.Error()}); err != nil {
				return err
			}
			return errSaid
		}
		if err != nil {
			return askFailed(r, err)
		}
		return said(env.stdout, asJSON, "reloaded", admin.Done{Schema: admin.Schema, OK: true})
	}
	return cmd
}
