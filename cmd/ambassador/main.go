// Command ambassador joins a consumer on one host with a service on another.
//
// main.go is the entrance, root.go the command tree; every command has a file
// of its own name. This package is the only place for flags, environment,
// files, signals and exit codes.
package main

import "os"

func main() {
	os.Exit(execute(environment{args: os.Args[1:], environ: os.Environ(), stdout: os.Stdout, stderr: os.Stderr}))
}
