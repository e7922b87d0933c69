package link

import (
	"fmt"
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
func NoLinks(environ []string) error {
	var b strings.Builder
	b.WriteString("no link found: looked for variables ALIAS_PORT_<port>_TCP=tcp://HOST:PORT in the environment; ")
	env := readEnv(environ)
	if linked := env.withoutPorts(); len(linked) > 0 {
		fmt.Fprintf(&b, "%s: a container is linked, but its image exposes no port; ", strings.Join(linked, ", "))
	} else {
		b.WriteString(noLongerSet + " (deprecated in 28.4; DOCKER_KEEP_DEPRECATED_LEGACY_LINKS_ENV_VARS=1 on the daemon brings them back until 30); ")
	}
	b.WriteString("write -e REDIS_PORT_6379_TCP=tcp://redis:6379 to docker run, or give HOST PORT to forward, or --link redis:6379 to serve")
	return &noLinksError{b.String()}
}

// noLinksError does not match ErrUsage, see ErrNoLinks.
type noLinksError struct{ text string }

func (e *noLinksError) Error() string        { return e.text }
func (e *noLinksError) Is(target error) bool { return target == ErrNoLinks }

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
