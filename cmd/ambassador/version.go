package main

import (
	"encoding/json"
	"fmt"
	"runtime"
	"runtime/debug"

	"ambassador/internal/admin"

	"github.com/spf13/cobra"
)

// Set by the linker, -X main.version=v1.2.3, where there is no .git to read.
var (
	version = ""
	commit  = ""
)

// build says which program this is: in "version", status, metrics, and to the
// other side. The linker's words come before what the go command has noted; without
// either the version is "devel".
func build() admin.Build {
	b := admin.Build{Version: version, Commit: commit, Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	if info, ok := debug.ReadBuildInfo(); ok {
		noted(&b, info)
	}
	if b.Version == "" {
		b.Version = "devel"
	}
	return b
}

// noted fills in what the go command has noted in the binary.
func noted(b *admin.Build, info *debug.BuildInfo) {
	if b.Version == "" && info.Main.Version != "(devel)" {
		b.Version = info.Main.Version
	}
	if b.Commit != "" {
		return // of other files than those that .git would tell of
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Commit = s.Value
		case "vcs.modified":
			b.Modified = s.Value == "true"
		case "vcs.time":
			b.Time = s.Value
		}
	}
}

func buildVersion() string { return build().Version }

func newVersion() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Long: `Prints the version, and which Go made it for which platform. -o json adds the
commit that it was built from.`,
		Args: exactArgs(0, "no arguments"),
	}
	output := addOutput(cmd.Flags())
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		asJSON, err := wantsJSON(*output)
		if err != nil {
			return err
		}
		b, out := build(), cmd.OutOrStdout()
		if asJSON {
			return json.NewEncoder(out).Encode(b)
		}
		_, err = fmt.Fprintf(out, "ambassador %s %s %s\n", b.Version, b.Platform, b.Go)
		return err
	}
	return cmd
}
