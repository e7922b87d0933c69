package main

import (
	"errors"

	"ambassador/certs"

	"github.com/spf13/pflag"
)

// certFlags bring certificates of another CA.
type certFlags struct{ cert, key, ca *string }

func addCertFlags(f *pflag.FlagSet) *certFlags {
	return &certFlags{
		cert: f.String("cert", "", "PEM `FILE` with a certificate of another CA, in place of the state directory's"),
		key:  f.String("key", "", "PEM `FILE` with its key"),
		ca:   f.String("ca", "", "PEM `FILE` with the CA certificates that peers must chain to"),
	}
}

func (c *certFlags) given() bool { return *c.cert != "" || *c.key != "" || *c.ca != "" }

// files are the given ones, else those of the state directory.
func (c *certFlags) files(dir string, environ []string) (certs.Files, error) {
	if !c.given() {
		dir, err := stateDir(dir, environ)
		return certs.StateFiles(dir), err
	}
	if *c.cert == "" || *c.key == "" || *c.ca == "" {
		return certs.Files{}, usage(errors.New("--cert, --key and --ca go together: give all three"))
	}
	return certs.Files{Cert: *c.cert, Key: *c.key, CA: *c.ca}, nil
}

// blame names the flag that brought the file which is wrong. About one that is
// not there, certs advises to issue a certificate of our own CA: that is not
// what these flags are for.
func (c *certFlags) blame(err error) error {
	file := (*certs.FileError)(nil)
	if !errors.As(err, &file) {
		return err
	}
	blamed := *file
	switch file.File {
	case *c.cert:
		blamed.File = "--cert " + *c.cert
	case *c.key:
		blamed.File = "--key " + *c.key
	case *c.ca:
		blamed.File = "--ca " + *c.ca
	}
	if errors.Is(err, certs.ErrNoCertificate) || errors.Is(err, certs.ErrMissing) {
		blamed.Hint = "check its path"
	}
	return &blamed
}
