package link

import (
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
)

// FromEnv reads every link variable of an environ slice (see os.Environ). The
// links come sorted by name, each with SourceEnvironment. A variable that
// cannot be used is a warning, a *VariableError, and harms no other one.
//
// The link's name is the last path component of ALIAS_NAME, if that variable
// belongs to this link, and else the variables' prefix in lower case. Only
// Docker's ALIAS_NAME, which begins with "/", also gives the targets' Alias.
//
// Never read, in any case, are KUBERNETES_*, which every pod has, and names that
// hold _ENV_.
// So the variables of an alias such as my-env are passed over too: Docker
// writes MY_ENV_PORT_6379_TCP both for port 6379 of my-env and for a variable
// PORT_6379_TCP inside the container linked as my, and between a link that has
// to be given as --link my-env:6379 and another container's secret there is
// only one safe choice. A warning says so.
//
// udp and sctp are known but not carried: a warning that matches
// [ErrProtocol]. ALIAS_PORT=tcp://HOST:PORT repeats the first port; alone it is
// a warning, since the port that consumers know is not in its name, and the
// 2013 image did not read it either.
//
// If a variable is there twice, the first one counts, as in os.Getenv.
func FromEnv(environ []string) (links []Link, warnings []error) {
	return readEnv(environ).all()
}

// environment is what was found, by prefix: MY_REDIS for my-redis.
type environment map[string]*group

// group is all that was found under one prefix.
type group struct {
	link     Link
	alias    string            // of all targets
	targets  map[uint16]Target // of the link's ports, by number
	linked   string            // the variable by which Docker says that a container is linked
	warnings []error
}

func (e environment) group(prefix string) *group {
	prefix = EnvPrefix(prefix)
	if e[prefix] == nil {
		e[prefix] = &group{targets: map[uint16]Target{}}
	}
	return e[prefix]
}

// all returns the links that have a port, sorted by name, and all warnings,
// sorted by prefix.
func (e environment) all() (links []Link, warnings []error) {
	for _, prefix := range slices.Sorted(maps.Keys(e)) {
		g := e[prefix]
		warnings = append(warnings, g.warnings...)
		if len(g.link.Ports) > 0 {
			links = append(links, g.link)
		}
	}
	sortLinks(links)
	return links, warnings
}

func sortLinks(links []Link) {
	slices.SortFunc(links, func(a, b Link) int { return strings.Compare(a.Name, b.Name) })
}

func readEnv(environ []string) environment {
	e := environment{}
	values := map[string]string{} // of the variables that may be read
	for _, entry := range environ {
		key, value, _ := strings.Cut(entry, "=")
		if readVariable(key).kind == hidden {
			e.warnHidden(key)
		} else if _, again := values[key]; !again {
			values[key] = value
		}
	}
	keys := slices.Sorted(maps.Keys(values))
	for _, key := range keys {
		if v := readVariable(key); v.kind == portURL {
			e.addPort(v, key, values)
		}
	}
	for _, g := range e {
		slices.SortFunc(g.link.Ports, func(a, b Port) int { return int(a.Number) - int(b.Number) })
	}
	for _, key := range keys {
		e.warnUnused(key, values[key])
	}
	for _, key := range keys {
		e.addLinked(key, values[key])
	}
	return e
}

func (g *group) warn(key string, problem error) {
	g.warnings = append(g.warnings, &VariableError{Variable: key, Problem: problem})
}

// notURL is the problem of a value; the reason never holds any of it.
func notURL(reason error) error {
	return fmt.Errorf("its value is not tcp://HOST:PORT (such as tcp://redis:6379): %w", reason)
}

// addPort adds the port of a portURL variable to its group.
func (e environment) addPort(v variable, key string, values map[string]string) {
	g := e.group(v.prefix)
	if v.protocol != "tcp" {
		if isURL(values[key]) {
			g.warn(key, protocolError(v.protocol))
		}
		return
	}
	port, err := readPort(v, values[key])
	if err != nil {
		g.warn(key, err)
		return
	}
	name, alias := readName(v.prefix, values[v.prefix+"_NAME"])
	if err := checkName(name); err != nil {
		g.warn(key, err)
		return
	}
	if g.link.Name == "" {
		g.link.Name, g.link.Source, g.alias = name, SourceEnvironment, alias
	}
	port.Target.Alias = g.alias
	g.add(port, key)
}

// add adds a port to the group, whose ports are not sorted yet. A number can
// come twice only by prefixes that differ in case or in "-" and "_".
func (g *group) add(port Port, key string) {
	have, twice := g.targets[port.Number]
	if !twice {
		g.targets[port.Number] = port.Target
		g.link.Ports = append(g.link.Ports, port)
		return
	}
	if !have.same(port.Target) {
		g.warn(key, errors.New("another variable gives this port of the link another target"))
	}
}

// same says whether two targets are one address. Host names have no case
// (RFC 1035, 2.3.3).
func (t Target) same(other Target) bool {
	return t.Port == other.Port && strings.EqualFold(t.Host, other.Host)
}

func readPort(v variable, value string) (Port, error) {
	number, err := parsePort(v.number)
	if err != nil {
		return Port{}, errors.New("the number in its name is not a port from 1 to 65535")
	}
	target, err := readTarget(value)
	return Port{Number: number, Target: target}, err
}

// readTarget reads tcp://HOST:PORT. An IPv6 host comes with and without
// brackets, so a host without them ends at the last colon.
func readTarget(value string) (Target, error) {
	scheme, address, found := strings.Cut(value, "://")
	if !found || !strings.EqualFold(scheme, "tcp") {
		return Target{}, notURL(errors.New("it does not begin with tcp://"))
	}
	i := strings.LastIndexByte(address, ':')
	if i < 0 || strings.HasSuffix(address, "]") {
		return Target{}, notURL(errPortMissing)
	}
	host, err := readHost(address[:i])
	if err != nil {
		return Target{}, notURL(err)
	}
	port, err := parsePort(address[i+1:])
	if err != nil {
		return Target{}, notURL(err)
	}
	return Target{Host: host, Port: port}, nil
}

func readHost(s string) (string, error) {
	if !strings.HasPrefix(s, "[") {
		return parseHost(s)
	}
	host, _, more, err := cutBrackets(s)
	if err == nil && more {
		err = errBrackets
	}
	return host, err
}

// readName returns the name of a link from its prefix and the value of its
// ALIAS_NAME. Docker writes /CONTAINER/ALIAS there, [Link.Env] a bare name for
// a link that Docker did not make. A value that does not give this very prefix
// is some other program's setting, REDIS_NAME=cache-prod say, and means
// nothing here.
func readName(prefix, value string) (name, alias string) {
	name = path.Base(value)
	if value == "" || EnvPrefix(name) != EnvPrefix(prefix) || checkName(name) != nil {
		return strings.ToLower(prefix), ""
	}
	if strings.HasPrefix(value, "/") {
		return name, name
	}
	return name, ""
}

// isURL says whether a value looks as if it was meant for a link.
func isURL(value string) bool {
	scheme, _, found := strings.Cut(value, "://")
	switch strings.ToLower(scheme) {
	case "tcp", "udp", "sctp":
		return found
	}
	return false
}

func (e environment) warnHidden(key string) {
	if prefix, found := hiddenPort(key); found {
		e.group(prefix).warn(key, errors.New("names with _ENV_ hold another container's environment and are never read: give this link by --link NAME:PORT"))
	}
}

// warnUnused warns of a variable that somebody set in the belief that it makes
// a link.
func (e environment) warnUnused(key, value string) {
	v := readVariable(key)
	switch {
	case !isURL(value):
	case v.kind == nearly:
		e.group(v.prefix).warn(key, errors.New("its name is not ALIAS_PORT_<port>_TCP, such as REDIS_PORT_6379_TCP"))
	case v.kind == firstURL && !e.has(v.prefix):
		e.group(v.prefix).warn(key, errors.New("its name has no port number: write ALIAS_PORT_<port>_TCP, such as REDIS_PORT_6379_TCP"))
	}
}

// has says whether any variable was found under a prefix, good or not.
func (e environment) has(prefix string) bool {
	return e[EnvPrefix(prefix)] != nil
}

// addLinked notes a container that is linked. One without an exposed port has
// no other variable to show for it.
func (e environment) addLinked(key, value string) {
	prefix, found := strings.CutSuffix(key, "_NAME")
	if !found || isKubernetes(key) {
		return
	}
	if _, alias := readName(prefix, value); alias != "" {
		e.group(prefix).linked = key
	}
}
