// Command ambassador joins a consumer on one host with a service on another.
//
// main.go is the entrance, root.go the command tree; every command has a file
// of its own name. This package is the only place for flags, environment,
// files, signals and exit codes.
package main

import (
	"fmt"
	"os"
)

func main() {
	if err := keepMemoryPrivate(); err != nil {
		// A sandbox may forbid it: the work goes on.
		fmt.Fprintf(os.Stderr, "ambassador: core files and other processes of this user may show secrets: %v\n", err)
	}
	os.Exit(execute(environment{args: os.Args[1:], environ: os.Environ(), stdout: os.Stdout, stderr: os.Stderr}))
}
