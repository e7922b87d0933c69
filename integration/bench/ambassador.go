package main

import (
	"cmp"
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
)

// link is the name under which the backend is offered.
const link = "bench"

// pair is the ambassador at path, as two hosts run it: a private CA, and a
// certificate that grants the client the one link. Without a path, prepare builds
// the one of this repository.
func pair(name, path string) system {
	s := system{name: name, kind: ours, path: path, programs: []string{cmp.Or(path, "go")}, from: "https://go.dev/dl"}
	s.prepare = func(ctx context.Context, dir string) error {
		if path == "" {
			if err := build(ctx, s.binary(dir)); err != nil {
				return err
			}
		}
		return issue(ctx, s.binary(dir), providerState(dir, name), clientState(dir, name))
	}
	s.commands = func(dir string, w way) (provider, client command, err error) {
		provider = program(s.binary(dir), "serve", "--listen", loopback(w.listen),
			"--link", link+"="+loopback(w.backend), "--state-dir", providerState(dir, name))
		client = program(s.binary(dir), "connect", loopback(w.dial),
			"--expose", fmt.Sprintf("%s=%s:%d", loopback(w.entry), link, w.backend), "--state-dir", clientState(dir, name))
		return provider, client, nil
	}
	return s
}

// binary is the path of one of ours.
func (s system) binary(dir string) string { return cmp.Or(s.path, filepath.Join(dir, "built")) }

func providerState(dir, name string) string { return filepath.Join(dir, name, "provider") }
func clientState(dir, name string) string   { return filepath.Join(dir, name, "client") }

// build makes the ambassador of this repository.
func build(ctx context.Context, path string) error {
	// By its import path, which is good in every folder of the repository.
	out, err := exec.CommandContext(ctx, "go", "build", "-o", path, "ambassador/cmd/ambassador").CombinedOutput()
	if err != nil {
		return fmt.Errorf("building the ambassador: %w: %s: run this within the repository, or give -ambassador PATH", err, out)
	}
	return nil
}

func issue(ctx context.Context, binary, provider, client string) error {
	out, err := exec.CommandContext(ctx, binary, "certs", "issue", "bench", "--link", link, "--state-dir", provider, "--out", client).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s certs issue: %w: %s", binary, err, out)
	}
	return nil
}
