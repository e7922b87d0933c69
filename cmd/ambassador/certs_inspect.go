package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"ambassador/certs"

	"github.com/spf13/cobra"
)

func newCertsInspect(env environment) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "inspect [FILE|DIR]",
		Short: "Show certificates, and what is wrong with them",
		Long: `Shows the certificates of a PEM file or a state directory, without an argument
of the state directory. With --expires-in the exit code is 1 if one of them
expires within that time, or cannot be used now.`,
		Example: `  ambassador certs inspect --expires-in 7d ./web`,
		Args:    cobra.ArbitraryArgs,
	}
	dir := addStateDir(cmd.Flags())
	output := addOutput(cmd.Flags())
	within := cmd.Flags().String("expires-in", "", "exit with 1 if a certificate expires within this `TIME`, such as 7d or 12h")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) > 1 {
			return exactArgs(1, "one file or directory at most")(cmd, args)
		}
		asJSON, err := wantsJSON(*output)
		if err != nil {
			return err
		}
		soon, err := parseDays(*within)
		if err != nil {
			return usage(fmt.Errorf("--expires-in %q: %w", *within, err))
		}
		path := ""
		if len(args) == 1 {
			path = args[0]
		} else if path, err = stateDir(*dir, env.environ); err != nil {
			return err
		}
		found, err := certs.Inspect(path)
		if err != nil {
			return err
		}
		now := time.Now()
		write := showInspection
		if asJSON {
			write = func(w io.Writer, i *certs.Inspection, _ time.Time) error { return writeJSON(w, i) }
		}
		if err := write(cmd.OutOrStdout(), found, now); err != nil || *within == "" {
			return err
		}
		return judge(found, now, soon, *within)
	}
	return cmd
}

// kindName is a kind of certificate in a sentence.
func kindName(kind string) string {
	if kind == "certificate" {
		return kind
	}
	return kind + " certificate"
}

// renewal is what to do about a certificate that ends.
func renewal(kind string) string {
	switch kind {
	case "client":
		return `"ambassador connect" renews it by itself, and its log says why not: else run "ambassador invite NAME" on the provider's host and join anew`
	case "provider", "issuer":
		return `"ambassador serve" renews it by itself, and its log says why not: else run "ambassador certs renew"`
	case "root":
		return `run "ambassador certs renew --root", which keeps the old one until then`
	}
	return "bring a new one from its CA"
}

// judge says what needs care now or soon.
func judge(i *certs.Inspection, now time.Time, soon time.Duration, within string) error {
	ending := i.Expiring(now.Add(soon))
	if len(ending) == 0 {
		if i.Problem != "" {
			return errors.New(i.Problem)
		}
		return nil
	}
	c, verb := ending[0], "expires"
	if c.NotAfter.Before(now) {
		verb = "has expired"
	}
	return fmt.Errorf("%s: its %s %s on %s, within %s: %s", c.File, kindName(c.Kind), verb, day(c.NotAfter), within, renewal(c.Kind))
}

// parseDays is time.ParseDuration and days, which certificates are counted in.
func parseDays(s string) (time.Duration, error) {
	const expected = "expected a number and d, h, m or s, such as 7d or 12h"
	if s == "" {
		return 0, nil
	}
	d, err := time.ParseDuration(s)
	if days, ok := strings.CutSuffix(s, "d"); ok {
		var n uint64
		n, err = strconv.ParseUint(days, 10, 64)
		if err == nil && n > math.MaxInt64/uint64(24*time.Hour) {
			err = strconv.ErrRange
		}
		d = time.Duration(n) * 24 * time.Hour
	}
	if err != nil || d < 0 {
		return 0, errors.New(expected)
	}
	return d, nil
}

func showInspection(w io.Writer, i *certs.Inspection, now time.Time) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for n, c := range i.Certificates {
		if n > 0 {
			fmt.Fprintln(table)
		}
		fmt.Fprintf(table, "%s\t%s\n", c.Kind, c.File)
		row := func(name, value string) {
			if value != "" {
				fmt.Fprintf(table, "  %s\t%s\n", name, value)
			}
		}
		row("identity", c.Identity)
		row("subject", c.Subject)
		row("issuer", c.Issuer)
		row("valid", fmt.Sprintf("%s to %s (%s)", day(c.NotBefore), day(c.NotAfter), left(c, now)))
		row("serial", c.Serial)
		row("key", c.Key+", sha256 "+c.KeyFingerprint)
		row("sha256", c.Fingerprint)
	}
	if i.Problem != "" {
		fmt.Fprintf(table, "\nproblem: %s\n", i.Problem)
	}
	return table.Flush()
}

// left says how a certificate stands to a moment.
func left(c certs.CertificateInfo, now time.Time) string {
	switch {
	case now.After(c.NotAfter):
		return "expired"
	case now.Before(c.NotBefore):
		return "not yet valid"
	case c.NotAfter.Sub(now) < 48*time.Hour:
		return fmt.Sprintf("%d hours left", c.NotAfter.Sub(now)/time.Hour)
	}
	return fmt.Sprintf("%d days left", c.NotAfter.Sub(now)/(24*time.Hour))
}

// day is a moment as results show it.
func day(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") }

// writeJSON writes a result as JSON. No records are an empty list, not null.
func writeJSON(w io.Writer, v any) error {
	if records, ok := v.([]certs.ClientRecord); ok && records == nil {
		v = []certs.ClientRecord{}
	}
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(v)
}
