package main

import (
	"fmt"

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
