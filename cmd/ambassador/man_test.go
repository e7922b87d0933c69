package main

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

func TestManPageForEveryCommandWithEveryFlag(t *testing.T) {
	root := newRoot(environment{stdout: io.Discard, stderr: io.Discard})
	pages := manPages(root)
	var visit func(*cobra.Command)
	visit = func(cmd *cobra.Command) {
		if !cmd.IsAvailableCommand() {
			return
		}
		page, there := pages[manName(cmd)+".1"]
		if !there {
			t.Errorf("%q has no page", cmd.CommandPath())
		}
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			if !f.Hidden && !strings.Contains(page, `\fB`+roff("--"+f.Name)+`\fR`) && !strings.Contains(page, roff(", --"+f.Name)) {
				t.Errorf("the page of %q has no --%s", cmd.CommandPath(), f.Name)
			}
		})
		for _, sub := range cmd.Commands() {
			visit(sub)
		}
	}
	visit(root)
	if len(pages) < 10 {
		t.Errorf("%d pages", len(pages))
	}
}

func TestManPageTextStandsForItself(t *testing.T) {
	for text, want := range map[string]string{
		"REDIS_PORT_6379_TCP": "REDIS_PORT_6379_TCP",
		".hidden":             `\&.hidden`,
		`'quoted' \n`:         `\(aqquoted\(aq \en`,
		"--link":              `\-\-link`,
	} {
		if got := roff(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
	columns := "serve   here\nconnect there"
	if got := manText("filled\ntext\n\n" + columns); got != "filled\ntext\n.PP\n.nf\n"+columns+"\n.fi\n" {
		t.Errorf("%q", got)
	}
}

// What groff does not understand, it says.
func TestManPagesAreGoodRoff(t *testing.T) {
	groff, err := exec.LookPath("groff")
	if err != nil {
		if os.Getenv("AMBASSADOR_REQUIRE") != "" {
			t.Fatal(err)
		}
		t.Skip("no groff: apt-get install groff-base")
	}
	for name, text := range manPages(newRoot(environment{stdout: io.Discard, stderr: io.Discard})) {
		cmd := exec.Command(groff, "-man", "-Tutf8", "-ww", "-z")
		cmd.Stdin = strings.NewReader(text)
		var said bytes.Buffer
		cmd.Stderr = &said
		if err := cmd.Run(); err != nil || said.Len() > 0 {
			t.Errorf("%s: %v %s", name, err, said.String())
		}
	}
}
