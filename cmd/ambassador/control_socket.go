package main

import (
	"path/filepath"
	"strings"

	"github.com/spf13/pflag"
)

// socketSuffix is behind the name of the command that a control socket is of: a
// serve and a connect on one host do not get into each other's way.
const socketSuffix = ".sock"

func addControlSocket(f *pflag.FlagSet, more string) *string {
	usage := "`PATH` of the control socket (default serve.sock, connect.sock or forward.sock in $RUNTIME_DIRECTORY, else in the state directory)"
	if more != "" {
		usage += "; " + more
	}
	return f.String("control-socket", "", usage)
}

// isOff says whether a control socket is not wanted: "off", or an empty word that
// was given.
func isOff(flags *pflag.FlagSet, path string) bool {
	return path == "off" || path == "" && flags.Changed("control-socket")
}

// socketDir is where a service makes its control socket: where systemd says that
// such things go (RuntimeDirectory=, systemd.exec(5)), else with the state.
func socketDir(stateFlag string, environ []string) (string, error) {
	if dirs, ok := lookup(environ, "RUNTIME_DIRECTORY"); ok {
		dir, _, _ := strings.Cut(dirs, ":")
		return dir, nil
	}
	return stateDir(stateFlag, environ)
}

// searched are the directories in which a command looks for control sockets: that
// of the unit that it runs in, the one that was named, or else all in which they
// are by default. A shell has no RUNTIME_DIRECTORY, so those are there by the name
// that a unit file would give.
func searched(stateFlag string, environ []string) ([]string, error) {
	own, err := stateDir(stateFlag, environ)
	if err != nil {
		return nil, err
	}
	dirs := []string{own}
	if runtime, ok := lookup(environ, "RUNTIME_DIRECTORY"); ok {
		dir, _, _ := strings.Cut(runtime, ":")
		dirs = []string{dir, own}
	}
	if stateFlag == "" {
		if runtime, ok := lookup(environ, "XDG_RUNTIME_DIR"); ok {
			dirs = append(dirs, filepath.Join(runtime, "ambassador"))
		}
		dirs = append(dirs, "/run/ambassador")
	}
	return dirs, nil
}
