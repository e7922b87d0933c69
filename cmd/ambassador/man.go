package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// The pages are written here and not by cobra/doc: that goes by way of Markdown,
// which takes the underscores of REDIS_PORT_6379_TCP for emphasis, and it would put
// two more modules into the binary. They are made by the binary that they describe,
// so that no page can be of another version.

func newMan() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "man DIR",
		Short: "Write the manual pages",
		Long: `Writes a manual page for each command into DIR, which is made if there is none:
ambassador.1, ambassador-serve.1 and so on.`,
		Example: `  ambassador man /usr/local/share/man/man1`,
		Args:    exactArgs(1, "DIR, such as /usr/local/share/man/man1"),
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		pages := manPages(cmd.Root())
		if err := os.MkdirAll(args[0], 0o755); err != nil {
			return fmt.Errorf("manual pages: %w", err)
		}
		for name, text := range pages {
			if err := os.WriteFile(filepath.Join(args[0], name), []byte(text), 0o644); err != nil {
				return fmt.Errorf("manual pages: %w", err)
			}
		}
		_, err := fmt.Fprintf(cmd.OutOrStdout(), "%d manual pages in %s\n", len(pages), args[0])
		return err
	}
	return cmd
}

// manPages are the pages of a command and all below it, by their files' names.
func manPages(cmd *cobra.Command) map[string]string {
	pages := map[string]string{manName(cmd) + ".1": manPage(cmd)}
	for _, sub := range manCommands(cmd) {
		for name, text := range manPages(sub) {
			pages[name] = text
		}
	}
	return pages
}

func manCommands(cmd *cobra.Command) []*cobra.Command {
	var all []*cobra.Command
	for _, sub := range cmd.Commands() {
		if sub.IsAvailableCommand() && !sub.IsAdditionalHelpTopicCommand() {
			all = append(all, sub)
		}
	}
	return all
}

// manName is the name that man(1) finds a command's page by.
func manName(cmd *cobra.Command) string { return strings.ReplaceAll(cmd.CommandPath(), " ", "-") }

// manPage is one page, in the macros of man(7).
func manPage(cmd *cobra.Command) string {
	cmd.InitDefaultHelpFlag()
	b := build()
	date, _, _ := strings.Cut(b.Time, "T")
	var page strings.Builder
	fmt.Fprintf(&page, ".TH %s 1 \"%s\" \"ambassador %s\"\n", roff(strings.ToUpper(manName(cmd))), roff(date), roff(b.Version))
	fmt.Fprintf(&page, ".SH NAME\n%s \\- %s\n", roff(manName(cmd)), roff(cmd.Short))
	fmt.Fprintf(&page, ".SH SYNOPSIS\n\\fB%s\\fR\n", roff(cmd.UseLine()))
	page.WriteString(".SH DESCRIPTION\n")
	page.WriteString(manText(longOf(cmd)))
	page.WriteString(manFlags("OPTIONS", cmd.NonInheritedFlags()))
	page.WriteString(manFlags("OPTIONS OF ALL COMMANDS", cmd.InheritedFlags()))
	if cmd.Example != "" {
		page.WriteString(".SH EXAMPLES\n" + manLines(cmd.Example))
	}
	if !cmd.HasParent() {
		page.WriteString(manExit)
	}
	page.WriteString(manSeeAlso(cmd))
	return page.String()
}

func longOf(cmd *cobra.Command) string {
	if cmd.Long != "" {
		return cmd.Long
	}
	return cmd.Short + "."
}

var manExit = fmt.Sprintf(`.SH EXIT STATUS
.TP
%d
done
.TP
%d
failed
.TP
%d
wrong usage or configuration
.TP
%d
the drain timed out, and the connections left were reset
`, exitDone, exitFailed, exitUsage, exitDrain)

// manText fills paragraphs, and leaves as they are those that have columns.
func manText(text string) string {
	var out strings.Builder
	for i, paragraph := range strings.Split(strings.TrimSpace(text), "\n\n") {
		if i > 0 {
			out.WriteString(".PP\n")
		}
		if strings.Contains(paragraph, "   ") || strings.Contains(paragraph, "\n  ") {
			out.WriteString(manLines(paragraph))
			continue
		}
		for line := range strings.Lines(paragraph) {
			out.WriteString(roff(strings.TrimSpace(line)) + "\n")
		}
	}
	return out.String()
}

// manLines are lines that are not to be filled.
func manLines(text string) string {
	var out strings.Builder
	out.WriteString(".nf\n")
	for line := range strings.Lines(text) {
		out.WriteString(roff(strings.TrimRight(line, "\n")) + "\n")
	}
	out.WriteString(".fi\n")
	return out.String()
}

func manFlags(title string, flags *pflag.FlagSet) string {
	if !flags.HasAvailableFlags() {
		return ""
	}
	var out strings.Builder
	out.WriteString(".SH " + title + "\n")
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Hidden {
			return
		}
		value, usage := pflag.UnquoteUsage(f)
		name := "--" + f.Name
		if f.Shorthand != "" {
			name = "-" + f.Shorthand + ", " + name
		}
		fmt.Fprintf(&out, ".TP\n\\fB%s\\fR", roff(name))
		if value != "" {
			fmt.Fprintf(&out, " \\fI%s\\fR", roff(value))
		}
		out.WriteString("\n" + roff(usage))
		switch f.DefValue {
		case "", "[]", "false", "0s":
		default:
			out.WriteString(" (default " + roff(f.DefValue) + ")")
		}
		out.WriteString("\n")
	})
	return out.String()
}

func manSeeAlso(cmd *cobra.Command) string {
	var pages []string
	if cmd.HasParent() {
		pages = append(pages, manName(cmd.Parent()))
	}
	for _, sub := range manCommands(cmd) {
		pages = append(pages, manName(sub))
	}
	for i, name := range pages {
		pages[i] = fmt.Sprintf("\\fB%s\\fR(1)", roff(name))
	}
	if len(pages) == 0 {
		return ""
	}
	return ".SH SEE ALSO\n" + strings.Join(pages, ",\n") + "\n"
}

// roff makes text that stands for itself: groff_man_style(7) has the escapes. A
// point or a quote at the start of a line would be a request.
func roff(text string) string {
	text = strings.NewReplacer(`\`, `\e`, "-", `\-`, "\"", `\(dq`, "'", `\(aq`, "`", `\(ga`, "^", `\(ha`, "~", `\(ti`, "…", `\&...`).Replace(text)
	if strings.HasPrefix(text, ".") {
		return `\&` + text
	}
	return text
}
