package main

import (
	"fmt"

	"ambassador/certs"

	"github.com/spf13/cobra"
)

func newCertsRenew(env environment) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "renew",
		Short: "Renew the issuer and the provider's certificate now",
		Long: `Makes the CA's issuer and the provider's own certificate anew, whatever their age.
A running "ambassador serve" does so by itself when it is time, and takes over
what this command makes. The one thing that it cannot do is to open a root key
that a passphrase seals: then this command is needed, about once a year.

--root makes a new root as well. Both roots are good until the old one ends, and
clients get the new one with their next renewal, so that nothing breaks. It is
for a root key that may have been seen by others; then revoke and invite every
client too.

Clients renew their own certificates from "ambassador connect".`,
		Example: `  ambassador certs renew --passphrase-file root.pass`,
		Args:    exactArgs(0, "no arguments: clients renew their own certificates"),
	}
	dir := addStateDir(cmd.Flags())
	root := cmd.Flags().Bool("root", false, "make a new root as well")
	passphrase := addPassphrase(cmd.Flags())
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		d, err := stateDir(*dir, env.environ)
		if err != nil {
			return err
		}
		secret, err := readPassphrase(*passphrase)
		if err != nil {
			return err
		}
		ca, err := certs.Open(d, certs.OpenOptions{Passphrase: secret, Context: cmd.Context()})
		if err != nil {
			return err
		}
		if err := ca.RenewNow(secret, *root); err != nil {
			return err
		}
		what := "the issuer and the provider's certificate"
		if *root {
			what = "root, issuer and the provider's certificate"
		}
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "renewed %s in %s\n", what, d)
		return err
	}
	return cmd
}
