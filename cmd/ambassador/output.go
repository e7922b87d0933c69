package main

import (
	"fmt"
	"io"

	"ambassador/internal/admin"

	"github.com/spf13/pflag"
)

func addOutput(f *pflag.FlagSet) *string {
	return f.StringP("output", "o", "text", "how the result is written: text or json")
}

func wantsJSON(output string) (bool, error) {
	switch output {
	case "text":
		return false, nil
	case "json":
		return true, nil
	}
	return false, usage(fmt.Errorf("--output %q: expected text or json", output))
}

// said writes what a command has to say: a line, or its document.
func said(w io.Writer, asJSON bool, line string, document any) error {
	if asJSON {
		return writeJSON(w, document)
	}
	_, err := fmt.Fprintln(w, line)
	return err
}

// saidReady writes whether something is ready. If it is not, text leaves the line
// to the error, and JSON is all that there is to say.
func saidReady(w io.Writer, asJSON bool, line string, err error) error {
	d := admin.Readiness{Schema: admin.Schema, Ready: err == nil, Verdict: line}
	switch {
	case err == nil:
		return said(w, asJSON, line, d)
	case !asJSON:
		return err
	}
	if err := writeJSON(w, d); err != nil {
		return err
	}
	return &exitError{exitCode(err), errSaid}
}
