package main

import (
	"context"
	"fmt"

	"ambassador/certs"

	"github.com/spf13/cobra"
)

func newGrant(env environment) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "grant NAME LINK...",
		Short: "Let a client use further links",
		Long: `Adds links to what the client NAME may use; * stands for all. A running
"ambassador serve" minds it at once, and its clients' catalogues follow.`,
		Example: `  ambassador grant web postgres mq`,
		Args:    atLeast(2, "the NAME of a client and one LINK or more, such as web postgres"),
	}
	dir := addStateDir(cmd.Flags())
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		name, links := args[0], args[1:]
		if err := checkGrant(links); err != nil {
			return err
		}
		ca, err := openCA(cmd.Context(), *dir, env.environ)
		if err != nil {
			return err
		}
		all, err := ca.AddLinks(name, links)
		if err != nil {
			return certsUsage(err)
		}
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s may use %s\n", name, describeLinks(all))
		return err
	}
	return cmd
}

func newRevoke(env environment) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "revoke NAME [LINK...]",
		Short: "Take links from a client, or shut it out",
		Long: `With links: takes them from what the client NAME may use. Its connections to them
are reset, the others go on.

Without: shuts the client out. Its sessions end within 5 seconds, its open
invitations are taken back, and its certificates are good for nothing any more.
Only a new invitation brings it back.`,
		Example: `  ambassador revoke web postgres
  ambassador revoke web`,
		Args: atLeast(1, "the NAME of a client, such as web, and links to take only these"),
	}
	dir := addStateDir(cmd.Flags())
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		name, links := args[0], args[1:]
		if err := checkGrant(links); err != nil {
			return err
		}
		ca, err := openCA(cmd.Context(), *dir, env.environ)
		if err != nil {
			return err
		}
		if len(links) == 0 {
			return revokeClient(cmd, ca, name)
		}
		left, err := ca.WithdrawLinks(name, links)
		if err != nil {
			return certsUsage(err)
		}
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s may use %s\n", name, describeLinks(left))
		return err
	}
	return cmd
}

// newCertsRevoke is "revoke NAME", where who works with certificates looks for
// it.
func newCertsRevoke(env environment) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "revoke NAME",
		Short: "Shut a client out: the same as \"ambassador revoke NAME\"",
		Args:  exactArgs(1, "the NAME of a client, such as web"),
	}
	dir := addStateDir(cmd.Flags())
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		ca, err := openCA(cmd.Context(), *dir, env.environ)
		if err != nil {
			return err
		}
		return revokeClient(cmd, ca, args[0])
	}
	return cmd
}

func revokeClient(cmd *cobra.Command, ca *certs.CA, name string) error {
	if err := ca.Revoke(name); err != nil {
		return certsUsage(err)
	}
	_, err := fmt.Fprintf(cmd.OutOrStdout(), "revoked %s: only a new invitation brings it back\n", name)
	return err
}

// openCA opens the CA that there has to be.
func openCA(ctx context.Context, dir string, environ []string) (*certs.CA, error) {
	d, err := stateDir(dir, environ)
	if err != nil {
		return nil, err
	}
	return certs.Open(d, certs.OpenOptions{Context: ctx})
}

// atLeast is exactArgs for commands that take more.
func atLeast(n int, expected string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) >= n {
			return nil
		}
		return exactArgs(n, expected)(cmd, args)
	}
}
