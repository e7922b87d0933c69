package main

import (
	"bytes"
	"context"
	"fmt"
	"os"

	"ambassador/certs"

	"github.com/spf13/pflag"
)

func addPassphrase(f *pflag.FlagSet) *string {
	return f.String("passphrase-file", "", "`FILE` whose first line seals the root key of a new CA, or opens a sealed one")
}

// readPassphrase is the first line of the file, nil without one.
func readPassphrase(path string) ([]byte, error) {
	if path == "" {
		return nil, nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, usage(fmt.Errorf("--passphrase-file: %w", err))
	}
	line, _, _ := bytes.Cut(text, []byte("\n"))
	line = bytes.TrimSuffix(line, []byte("\r"))
	if len(line) == 0 {
		return nil, usage(fmt.Errorf("--passphrase-file %s: its first line is empty, expected the passphrase", path))
	}
	return line, nil
}

// ensureCA opens the CA of a state directory. Where there is none it makes one,
// and tells note so.
func ensureCA(ctx context.Context, dir, passphraseFile string, note func(msg string)) (*certs.CA, error) {
	passphrase, err := readPassphrase(passphraseFile)
	if err != nil {
		return nil, err
	}
	ca, made, err := certs.Ensure(dir, certs.InitOptions{Passphrase: passphrase, Context: ctx})
	if err != nil {
		return nil, err
	}
	if made {
		note("made a private CA")
	}
	return ca, nil
}
