package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"ambassador/certs"
	"ambassador/internal/link"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

func newCerts(env environment) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "certs",
		Short: "The private CA by hand",
		Long: `The provider's private CA, by hand. "ambassador serve" makes one when it starts
and there is none.`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return cmd.Help()
			}
			return unknownCommand(cmd, args[0])
		},
	}
	cmd.AddCommand(newCertsInit(env), newCertsIssue(env), newCertsList(env), newCertsInspect(env), newCertsRenew(env), newCertsRevoke(env))
	return cmd
}

func newCertsInit(env environment) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "init",
		Short: "Make the private CA and the provider's certificate",
		Long: `Makes the private CA in the state directory, and the provider's own certificate.
With --passphrase-file the root key is sealed: serve and issue work without it, and
only renewing the issuer, once a year, asks for it.`,
		Example: `  ambassador certs init --trust-domain example.org --passphrase-file root.pass`,
		Args:    exactArgs(0, "no arguments"),
	}
	dir := addStateDir(cmd.Flags())
	domain := cmd.Flags().String("trust-domain", "", "`DOMAIN` that all identities of this CA begin with (default ambassador)")
	name := cmd.Flags().String("name", "", "`NAME` of the provider (default this host's)")
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
		ca, err := certs.Init(d, certs.InitOptions{TrustDomain: *domain, Provider: *name, Passphrase: secret, Context: cmd.Context()})
		if err != nil {
			return certsUsage(err)
		}
		if _, err := ca.EnsureProvider(); err != nil {
			return err
		}
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "made a private CA for the trust domain %s in %s\n", ca.TrustDomain(), ca.Dir())
		return err
	}
	return cmd
}

func newCertsIssue(env environment) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "issue NAME --out DIR",
		Short: "Issue a certificate for a client",
		Long: `Makes a certificate for the client NAME and writes it to DIR, which then is all
that "ambassador connect --state-dir DIR" needs on the other host. Move it there
over a channel you trust: it holds a private key.

Without --link a new client may use every link, and a known one keeps its grant.
A running "ambassador serve" minds the grant at once.

"ambassador invite" does the same without a file to move.`,
		Example: `  ambassador certs issue web --link redis --out ./web`,
		Args:    exactArgs(1, "the NAME of a client, such as web"),
	}
	links := addGrant(cmd.Flags())
	out := cmd.Flags().String("out", "", "`DIR` to write ca.pem, cert.pem and key.pem to")
	dir := addStateDir(cmd.Flags())
	passphrase := addPassphrase(cmd.Flags())
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if *out == "" {
			return usage(errors.New("--out is missing: expected the directory for the client's files, such as --out ./" + args[0]))
		}
		if err := checkGrant(*links); err != nil {
			return err
		}
		if err := certs.CheckName(args[0]); err != nil {
			return usage(err)
		}
		d, err := stateDir(*dir, env.environ)
		if err != nil {
			return err
		}
		ca, err := ensureCA(cmd.Context(), d, *passphrase, func(msg string) { fmt.Fprintf(env.stderr, "ambassador: %s in %s\n", msg, d) })
		if err != nil {
			return err
		}
		issued, err := ca.IssueTo(args[0], *links, *out)
		if err != nil {
			return certsUsage(err)
		}
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "issued %s for %s until %s, in %s\n",
			issued.Identity, describeLinks(issued.Links), day(issued.NotAfter), *out)
		return err
	}
	return cmd
}

// addGrant is --link of who is granted something. AMBASSADOR_LINK, and link in a
// file, is what serve offers, also where it is given to both.
func addGrant(f *pflag.FlagSet) *[]string {
	links := f.StringArray("link", nil, "`LINK` that the client may use, * for all; may be repeated; AMBASSADOR_LINK does not count here")
	f.Lookup("link").Annotations = map[string][]string{argumentsAlone: {}}
	return links
}

// checkGrant checks the names of links where the words are seen: the provider
// may offer them later.
func checkGrant(links []string) error {
	for _, l := range links {
		if l == certs.EveryLink {
			continue
		}
		if err := link.CheckName(l); err != nil {
			return usage(fmt.Errorf("--link: %w", err))
		}
	}
	return nil
}

// certsUsage marks what is wrong with a word as wrong usage.
func certsUsage(err error) error {
	if errors.Is(err, certs.ErrName) || errors.Is(err, certs.ErrBounds) {
		return usage(err)
	}
	return err
}

func describeLinks(links []string) string {
	if len(links) == 0 {
		return "no link"
	}
	for _, l := range links {
		if l == certs.EveryLink {
			return "every link"
		}
	}
	return strings.Join(links, ", ")
}

func newCertsList(env environment) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the clients of the private CA and what they may use",
		Args:  exactArgs(0, "no arguments"),
	}
	dir := addStateDir(cmd.Flags())
	output := addOutput(cmd.Flags())
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		asJSON, err := wantsJSON(*output)
		if err != nil {
			return err
		}
		d, err := stateDir(*dir, env.environ)
		if err != nil {
			return err
		}
		ca, err := certs.Open(d, certs.OpenOptions{Context: cmd.Context()})
		if err != nil {
			return err
		}
		// With an error come those records that could be read.
		records, err := ca.Clients()
		if asJSON {
			return errors.Join(err, writeJSON(cmd.OutOrStdout(), records))
		}
		return errors.Join(err, listClients(cmd.OutOrStdout(), records))
	}
	return cmd
}

func listClients(w io.Writer, records []certs.ClientRecord) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "NAME\tLINKS\tEXPIRES\tIDENTITY")
	for _, r := range records {
		expires := "no valid certificate"
		if r.Revoked {
			expires = "revoked on " + day(r.RevokedAt)
		} else if n := len(r.Certificates); n > 0 {
			expires = day(r.Certificates[n-1].NotAfter)
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", r.Name(), describeLinks(r.Links), expires, r.Identity)
	}
	return table.Flush()
}
