package main

import (
	"errors"
	"os"
	"path/filepath"

	"github.com/spf13/pflag"
)

func addStateDir(f *pflag.FlagSet) *string {
	return f.String("state-dir", "", "`DIR` for certificates and keys (default /var/lib/ambassador for root, else $XDG_STATE_HOME/ambassador)")
}

// stateDir is the state directory to use: the flag's, or the default.
func stateDir(flag string, environ []string) (string, error) {
	if flag != "" {
		return flag, nil
	}
	if os.Geteuid() == 0 {
		return "/var/lib/ambassador", nil
	}
	if dir, ok := lookup(environ, "XDG_STATE_HOME"); ok && filepath.IsAbs(dir) {
		return filepath.Join(dir, "ambassador"), nil
	}
	// XDG Base Directory Specification: $HOME/.local/state stands for an unset
	// or relative XDG_STATE_HOME.
	home, err := os.UserHomeDir()
	if err != nil {
		return "", usage(errors.New("no --state-dir given and no home directory known: give --state-dir DIR"))
	}
	return filepath.Join(home, ".local", "state", "ambassador"), nil
}
