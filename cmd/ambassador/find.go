package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"ambassador/internal/admin"

	"github.com/spf13/pflag"
)

// finder finds the ambassadors that a command is about.
type finder struct {
	flags    *pflag.FlagSet
	socket   *string
	stateDir *string
	environ  []string
}

func addFinder(f *pflag.FlagSet, env environment) *finder {
	return &finder{
		flags: f, environ: env.environ, socket: addControlSocket(f, ""),
		stateDir: f.String("state-dir", "", "state `DIR` of the ambassador, as it was given to it (default as for serve)"),
	}
}

// notRunningError is that there is nobody to ask.
type notRunningError struct{ text string }

func (e *notRunningError) Error() string { return e.text }

// all are the ambassadors that run there: at least one, or a *notRunningError.
func (f *finder) all(ctx context.Context) ([]*admin.Remote, error) {
	if isOff(f.flags, *f.socket) {
		return nil, usage(errors.New("--control-socket off: this command needs the path of one"))
	}
	paths, err := f.paths()
	if err != nil {
		return nil, err
	}
	var found []*admin.Remote
	for _, path := range paths {
		switch err := answers(ctx, path); {
		case err == nil:
			found = append(found, admin.At(path))
		case errors.Is(err, fs.ErrPermission):
			return nil, closedError(path)
		case !nobodyThere(err):
			return nil, fmt.Errorf("%s takes no connection: %w: its process is stopped, or has too much to do: look at it with ps or top, and at its log", path, err)
		}
	}
	if len(found) == 0 {
		return nil, &notRunningError{fmt.Sprintf("no ambassador answers on %s: start one, or point at one with --control-socket PATH or with the --state-dir DIR that it was given", either(paths))}
	}
	return found, nil
}

// one is the ambassador that runs there, if it is the only one.
func (f *finder) one(ctx context.Context) (*admin.Remote, error) {
	found, err := f.all(ctx)
	if err != nil {
		return nil, err
	}
	if len(found) > 1 {
		var paths []string
		for _, r := range found {
			paths = append(paths, r.Path())
		}
		return nil, usage(fmt.Errorf("several ambassadors run here: choose one with --control-socket: %s", strings.Join(paths, ", ")))
	}
	return found[0], nil
}

// paths are those at which there may be a control socket.
func (f *finder) paths() ([]string, error) {
	if *f.socket != "" {
		if err := admin.CheckPath(*f.socket); err != nil {
			return nil, usage(err)
		}
		return []string{*f.socket}, nil
	}
	dirs, err := searched(*f.stateDir, f.environ)
	if err != nil {
		return nil, err
	}
	if instead := fallbackDir(dirs[0]); instead != "" && ownDir(userMemory()) == nil && ownDir(instead) == nil {
		dirs = append(dirs, instead)
	}
	var paths []string
	for _, dir := range dirs {
		for _, service := range services {
			paths = append(paths, filepath.Join(dir, service+socketSuffix))
		}
	}
	return paths, nil
}

// answers says whether somebody takes connections on a socket.
func answers(ctx context.Context, path string) error {
	var d net.Dialer
	c, err := d.DialContext(ctx, "unix", path)
	if err != nil {
		return err
	}
	return c.Close()
}

// nobodyThere is true of what connect(2) says of a path without a socket, or with
// one that nobody listens on. EINVAL is for a path that sun_path has no room for:
// where a state directory is as deep as that, the socket is in shared memory.
func nobodyThere(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ENOTDIR) ||
		errors.Is(err, syscall.ENOTSOCK) || errors.Is(err, syscall.EINVAL)
}

// closedError is that this user may not open a socket, or not see whether there is
// one: then it is the directory that is closed.
func closedError(path string) error {
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrPermission) {
		path = filepath.Dir(path)
	}
	return fmt.Errorf("%s cannot be opened: %w: run this as the user that the ambassador runs as, or as root", path, fs.ErrPermission)
}

// either lists paths by their directories.
func either(paths []string) string {
	var dirs []string
	names := make(map[string][]string)
	for _, p := range paths {
		dir := filepath.Dir(p)
		if names[dir] == nil {
			dirs = append(dirs, dir)
		}
		names[dir] = append(names[dir], filepath.Base(p))
	}
	if len(paths) == 1 {
		return paths[0]
	}
	return strings.Join(names[dirs[0]], ", ") + " in " + strings.Join(dirs, ", ")
}
