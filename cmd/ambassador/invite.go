package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"ambassador/certs"

	"github.com/spf13/cobra"
)

type inviteFlags struct {
	links      *[]string
	ttl        *string
	uses       *int
	address    *string
	out        *string
	output     *string
	stateDir   *string
	passphrase *string
}

func newInvite(env environment) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "invite NAME",
		Short: "Let a new client in, by a token",
		Long: `Prints a token, and the command that joins the client NAME with it. It works
beside a running "ambassador serve", which needs no restart, and without one.

The token is a secret until it is used: who has it first gets the certificate.
Only a hash of it is kept here. It shows who the provider is, so that the client
needs no other file.

Without --link a new client may use every link, and a known one keeps its grant.
The links count when the first host comes, unless the grant was changed since the
invitation was made; from then on "ambassador grant" and "ambassador revoke"
decide.`,
		Example: `  ambassador invite client-server --link redis
  ambassador invite web --link redis --ttl 2h --uses 10
  ambassador invite list
  ambassador invite revoke k3v7qa2d`,
		Args: exactArgs(1, "the NAME of a client, such as web"),
	}
	f := inviteFlags{
		links:      addGrant(cmd.Flags()),
		ttl:        cmd.Flags().String("ttl", "15m", "how long the token is good: `TIME` such as 15m, 12h or 2d; 7d at most"),
		uses:       cmd.Flags().Int("uses", 1, "how many hosts may use it, all as NAME"),
		address:    cmd.Flags().String("address", "", "`HOST:PORT` that the client reaches the provider by, for the printed command (default this host's name, and the port of AMBASSADOR_LISTEN or 7000)"),
		out:        cmd.Flags().String("out", "", "`FILE` to write the token to, in place of printing it; --join @FILE reads it"),
		output:     addOutput(cmd.Flags()),
		stateDir:   addStateDir(cmd.Flags()),
		passphrase: addPassphrase(cmd.Flags()),
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error { return invite(cmd, env, f, args[0]) }
	cmd.AddCommand(newInviteList(env), newInviteRevoke(env))
	return cmd
}

func invite(cmd *cobra.Command, env environment, f inviteFlags, name string) error {
	asJSON, err := wantsJSON(*f.output)
	if err != nil {
		return err
	}
	if err := certs.CheckName(name); err != nil {
		return usage(err)
	}
	if err := checkGrant(*f.links); err != nil {
		return err
	}
	life, err := parseDays(*f.ttl)
	if err != nil || life == 0 {
		return usage(fmt.Errorf("--ttl %q: expected a time such as 15m, 12h or 2d", *f.ttl))
	}
	if *f.uses < 1 {
		return usage(fmt.Errorf("--uses %d: expected 1 or more", *f.uses))
	}
	address, err := inviteAddress(*f.address, env.environ)
	if err != nil {
		return err
	}
	d, err := stateDir(*f.stateDir, env.environ)
	if err != nil {
		return err
	}
	ca, err := ensureCA(cmd.Context(), d, *f.passphrase, func(msg string) {
		fmt.Fprintf(env.stderr, "ambassador: %s in %s: the token is good with a \"serve\" that has the same --state-dir\n", msg, d)
	})
	if err != nil {
		return err
	}
	token, made, err := ca.Invite(name, certs.InviteOptions{Links: *f.links, Life: life, Uses: *f.uses})
	if err != nil {
		return certsUsage(err)
	}
	if *f.out != "" {
		if err := writeToken(*f.out, token.Text()); err != nil {
			return errors.Join(err, ca.RevokeInvitation(token.ID)) // nobody can use it
		}
	}
	given := inviteResult{Invitation: made, Command: joinCommand(address, *f.out, token.Text(), made.Links)}
	if *f.out == "" {
		given.Token = token.Text()
	}
	if asJSON {
		err = writeJSON(cmd.OutOrStdout(), given)
	} else {
		err = showInvitation(cmd.OutOrStdout(), given, *f.out)
	}
	if err != nil && *f.out == "" {
		err = errors.Join(err, ca.RevokeInvitation(token.ID)) // nobody has seen it
	}
	return err
}

// inviteResult is what invite prints as JSON.
type inviteResult struct {
	certs.Invitation
	Token   string `json:"token,omitempty"` // empty with --out
	Command string `json:"command"`
}

func showInvitation(w io.Writer, i inviteResult, out string) error {
	what := i.Token
	if out != "" {
		what = "wrote the token to " + out
	}
	_, err := fmt.Fprintf(w, "%s\n\n%s, until %s. On that host:\n\n  %s\n", what, describeInvitation(i.Invitation), clock(i.Expires), i.Command)
	return err
}

func describeInvitation(i certs.Invitation) string {
	links := "may use " + describeLinks(i.Links)
	if len(i.Links) == 0 {
		links = "keeps its grant if it is known, else may use every link"
	}
	hosts := "one host joins"
	if i.Uses > 1 {
		hosts = fmt.Sprintf("%d hosts join", i.Uses)
	}
	return fmt.Sprintf("Invitation %s: %s as %s, which %s", i.ID, hosts, i.Name(), links)
}

// clock is a moment that is near.
func clock(t time.Time) string { return t.Local().Format("2006-01-02 15:04:05 MST") }

// joinCommand is what to paste on the other host. Of several links two may have
// one port: without --expose the client exposes what it can of all.
func joinCommand(address, file, token string, links []string) string {
	join := token
	if file != "" {
		join = "@" + filepath.Base(file)
	}
	words := []string{"ambassador", "connect", address, "--join", join}
	if len(links) == 1 && links[0] != certs.EveryLink {
		words = append(words, "--expose", links[0])
	}
	return strings.Join(words, " ")
}

// inviteAddress is where the client finds the provider: the port is that of
// AMBASSADOR_LISTEN, where it is set for serve and us.
func inviteAddress(given string, environ []string) (string, error) {
	if given != "" {
		if _, err := checkProvider(given); err != nil {
			return "", usage(fmt.Errorf("--address %q: expected HOST:PORT, such as big-server:7000", given))
		}
		return given, nil
	}
	name, err := os.Hostname()
	if err != nil {
		return "", usage(fmt.Errorf("this host's name is not known (%w): give --address HOST:PORT", err))
	}
	port := "7000"
	if listen, ok := lookup(environ, envName("listen")); ok {
		if _, p, err := net.SplitHostPort(listen); err == nil && p != "0" {
			port = p
		}
	}
	return net.JoinHostPort(name, port), nil
}

// writeToken puts a token where its owner alone can read it. What is there and is
// no regular file, such as a FIFO, is written to; a symbolic link is followed.
func writeToken(path, token string) error {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if _, errLink := os.Readlink(path); errLink == nil {
			return fmt.Errorf("--out: %s is a symbolic link that leads nowhere", path)
		}
		return replaceToken(path, token)
	case err != nil:
		return fmt.Errorf("--out: %w", err)
	case info.IsDir():
		return fmt.Errorf("--out: %s is a directory: expected a file", path)
	}
	// /dev/stdout may lead to a regular file, with more to come behind the token.
	for _, own := range []*os.File{os.Stdout, os.Stderr} {
		if i, err := own.Stat(); err == nil && os.SameFile(i, info) {
			return writeThrough(own, path, token)
		}
	}
	if info.Mode().IsRegular() {
		target, err := filepath.EvalSymlinks(path)
		if err != nil {
			return fmt.Errorf("--out: %w", err)
		}
		return replaceToken(target, token)
	}
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return fmt.Errorf("--out: %w", err)
	}
	return errors.Join(writeThrough(f, path, token), f.Close())
}

func writeThrough(f *os.File, path, token string) error {
	if _, err := f.WriteString(token + "\n"); err != nil {
		return fmt.Errorf("--out %s: %w", path, err)
	}
	return nil
}

// replaceToken writes a token beside a file and renames it: nobody sees half of
// one, and whoever has the file of before open sees none.
func replaceToken(path, token string) error {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".") // 0600
	if err != nil {
		return fmt.Errorf("--out: %w", err)
	}
	_, err = f.WriteString(token + "\n")
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("--out %s: %w", path, errors.Join(err, os.Remove(f.Name())))
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return fmt.Errorf("--out %s: %w", path, errors.Join(err, os.Remove(f.Name())))
	}
	return nil
}

func newInviteList(env environment) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the invitations that are open",
		Args:  exactArgs(0, "no arguments"),
	}
	dir := addStateDir(cmd.Flags())
	output := addOutput(cmd.Flags())
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		asJSON, err := wantsJSON(*output)
		if err != nil {
			return err
		}
		ca, err := openCA(cmd.Context(), *dir, env.environ)
		if err != nil {
			return err
		}
		// With an error come those that could be read.
		all, err := ca.Invitations()
		if asJSON {
			if all == nil {
				all = []certs.Invitation{}
			}
			return errors.Join(err, writeJSON(cmd.OutOrStdout(), all))
		}
		return errors.Join(err, listInvitations(cmd.OutOrStdout(), all))
	}
	return cmd
}

func listInvitations(w io.Writer, all []certs.Invitation) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "ID\tNAME\tLINKS\tUSED\tEXPIRES")
	for _, i := range all {
		links := describeLinks(i.Links)
		if len(i.Links) == 0 {
			links = "as before, or every link"
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%d of %d\t%s\n", i.ID, i.Name(), links, i.Used, i.Uses, clock(i.Expires))
	}
	return table.Flush()
}

func newInviteRevoke(env environment) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "revoke ID",
		Short: "Take an invitation back",
		Long: `Takes an invitation back, by the ID that "ambassador invite list" shows. A client
that has used it stays: "ambassador revoke NAME" ends that.`,
		Args: exactArgs(1, "the ID of an invitation, as \"ambassador invite list\" shows it"),
	}
	dir := addStateDir(cmd.Flags())
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		ca, err := openCA(cmd.Context(), *dir, env.environ)
		if err != nil {
			return err
		}
		if err := ca.RevokeInvitation(args[0]); err != nil {
			return certsUsage(err)
		}
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "took the invitation %s back\n", args[0])
		return err
	}
	return cmd
}
