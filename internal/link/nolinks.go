package link

import (
	"maps"
	"slices"
	"strings"
)

// noLongerSet is what became of link variables
// (docs.docker.com/engine/deprecated, "Legacy links environment variables").
const noLongerSet = "Docker Engine 29 no longer sets them, and user-defined networks never had them"

// NoLinks returns the error for forward and serve when no link was given by
// any means: what was looked for, why it may be missing, and what to write. It
// matches [ErrNoLinks].
func NoLinks(environ []string) *NoLinksError {
	why := noLongerSet + " (deprecated in 28.4; DOCKER_KEEP_DEPRECATED_LEGACY_LINKS_ENV_VARS=1 on the daemon brings them back until 30)"
	if linked := readEnv(environ).withoutPorts(); len(linked) > 0 {
		why = strings.Join(linked, ", ") + ": a container is linked, but its image exposes no port"
	}
	return &NoLinksError{
		Problem: "no link found: looked for variables ALIAS_PORT_<port>_TCP=tcp://HOST:PORT in the environment; " + why,
		Fix:     "write -e REDIS_PORT_6379_TCP=tcp://redis:6379 to docker run, or give HOST PORT to forward, or --link redis:6379 to serve",
	}
}

// NoLinksError does not match ErrUsage, see ErrNoLinks.
type NoLinksError struct {
	Problem string // what was looked for, and why it may be missing
	Fix     string // what to write
}

func (e *NoLinksError) Error() string { return e.Problem + "; " + e.Fix }

// Is makes the error match [ErrNoLinks].
func (e *NoLinksError) Is(target error) bool { return target == ErrNoLinks }

// withoutPorts returns the ALIAS_NAME variables of links without a port.
func (e environment) withoutPorts() []string {
	var linked []string
	for _, prefix := range slices.Sorted(maps.Keys(e)) {
		if g := e[prefix]; g.linked != "" && len(g.link.Ports) == 0 {
			linked = append(linked, g.linked)
		}
	}
	return linked
}
