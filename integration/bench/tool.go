package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
)

// output runs a load tool to its end and returns what it prints.
func output(ctx context.Context, name string, args ...string) (string, error) {
	path := lookup(name)
	if path == "" {
		return "", &missingError{name}
	}
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Env = append(cmd.Environ(), "LC_ALL=C", "PGSSLMODE=disable", "PGGSSENCMODE=disable")
	isolate(cmd, nil)
	var stdout, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		// If ctx has ended, that is why the tool has.
		return "", fmt.Errorf("%s: %w: %s", name, errors.Join(context.Cause(ctx), err), strings.TrimSpace(stderr.String()))
	}
	return stdout.String(), nil
}
