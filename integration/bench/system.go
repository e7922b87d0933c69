package main

import (
	"context"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// kind says what a system is compared as.
type kind int

const (
	ours      kind = iota // the ambassador, or the base that it is compared with
	encrypted             // a peer: ratios are to the best of these
	plain                 // in the clear
	direct                // no proxies at all: the consumer dials the backend
)

func (k kind) String() string {
	return [...]string{"ours", "encrypted", "in the clear", "no proxies"}[k]
}

// system is a tunnel: two proxies in a row.
type system struct {
	name     string
	kind     kind
	programs []string // that it needs
	from     string   // where to get them
	version  []string // the command that prints it
	path     string   // of one of ours; if empty, it is built
	// prepare makes in dir what lasts for all of a run. It may be nil.
	prepare func(ctx context.Context, dir string) error
	// commands are the two proxies for one way from consumer to backend. dir is
	// the one that prepare was given.
	commands func(dir string, w way) (provider, client command, err error)
}

// way is a consumer's way to its backend, in ports of 127.0.0.1.
type way struct {
	entry   int // where the consumer connects
	listen  int // where the provider's side listens
	dial    int // where the client's side connects: listen, or the carrier before it
	backend int
}

// systems are all that there are, in the order of the tables.
func systems(o options) []system {
	all := []system{pair("ambassador", o.ambassador)}
	if o.base != "" {
		all = append(all, pair("base", o.base))
	}
	all = append(all, peers()...)
	return append(all, system{name: "direct", kind: direct})
}

// missing is the first program of a system that is not here, or none.
func (s system) missing() string {
	for _, p := range s.programs {
		if lookup(p) == "" {
			return p
		}
	}
	return ""
}

// lookup finds a program. Daemons are where the PATH of a user does not lead, and
// Debian keeps PostgreSQL's server in a folder for each version; the last is
// taken.
func lookup(name string) string {
	if path, err := exec.LookPath(name); err == nil {
		return path
	}
	dirs := []string{"/usr/local/sbin", "/usr/sbin", "/sbin"}
	versions, _ := filepath.Glob("/usr/lib/postgresql/*/bin") // fails for a bad pattern only
	slices.Reverse(versions)
	for _, dir := range append(dirs, versions...) {
		if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return path
		}
	}
	return ""
}

var versionNumber = regexp.MustCompile(`\d+(\.\d+)+[^\s,]*`)

// describe is a system's name and version, as far as it tells.
func (s system) describe(ctx context.Context, dir string) string {
	switch {
	case s.kind == ours:
		return s.name + ": " + strings.TrimPrefix(says(ctx, s.binary(dir), "version"), "ambassador ")
	case len(s.version) == 0:
		return s.name
	}
	return s.name + " " + versionNumber.FindString(says(ctx, s.version[0], s.version[1:]...))
}

// says is what a program prints. That is for a person, who sees it when there is
// nothing; and some programs exit with 1 behind their version.
func says(ctx context.Context, name string, args ...string) string {
	out, _ := exec.CommandContext(ctx, lookup(name), args...).CombinedOutput()
	return strings.TrimSpace(string(out))
}
