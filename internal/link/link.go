package link

import (
	"net"
	"slices"
	"strconv"
)

// Source is where a link's ports came from; logs and the status show it.
type Source string

// The sources, in the order in which [Discover] asks them.
const (
	SourceFlag        Source = "flag"        // ports written in the --link word
	SourceEnvironment Source = "environment" // link variables
	SourceDocker      Source = "docker"      // EXPOSE of the container, from Docker's API
	SourceWellKnown   Source = "well-known"  // the table of well-known names
)

// Link is a named service and its ports.
type Link struct {
	Name   string // as [CheckName] allows
	Ports  []Port // sorted by Number, each Number once
	Source Source
}

// Port is one port of a link.
type Port struct {
	Number uint16 // the number that consumers know: the one in the variable's name
	Target Target // where it is dialled; its port may be another one
}

// Target is where a provider or a forward dials for one port. Names are
// resolved at every dial, since addresses change while a process lives.
type Target struct {
	// Host is a name or an IP literal, without brackets.
	Host string
	Port uint16

	// Alias is the name that Docker writes into /etc/hosts for a legacy link,
	// "" if there is none. Dial it before Host: Docker keeps the hosts file
	// current when the linked container restarts with another address, while
	// the variables go stale (github.com/moby/moby/issues/2801).
	Alias string
}

// String returns host:port as [net.Dial] takes it: an IPv6 host is in brackets.
func (t Target) String() string {
	return net.JoinHostPort(t.Host, strconv.Itoa(int(t.Port)))
}

// Port returns the port with the given number.
func (l Link) Port(number uint16) (Port, bool) {
	i, found := slices.BinarySearchFunc(l.Ports, number, func(p Port, n uint16) int { return int(p.Number) - int(n) })
	if !found {
		return Port{}, false
	}
	return l.Ports[i], true
}
