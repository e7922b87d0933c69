package link

import (
	"errors"
	"strconv"
	"strings"
)

const (
	specForm    = "NAME, [NAME=]HOST[:PORT,PORT-PORT...] with an IPv6 host in brackets, or HOST:ALIAS"
	specExample = "redis:6379 or cache=10.0.0.5:6379"
)

// Spec is one --link word, parsed but not yet looked up: see [Discover].
type Spec struct {
	Name  string   // the link's name: NAME, ALIAS, or made from the host
	Host  string   // a name or an IP literal, without brackets
	Ports []uint16 // sorted, each one once; if empty, they are discovered
}

// ParseSpec parses one --link word:
//
//	SPEC  = [ NAME "=" ] HOST [ ":" PORTS ] | HOST ":" ALIAS
//	PORTS = RANGE { "," RANGE }
//	RANGE = PORT [ "-" PORT ] [ "/tcp" ]
//
// NAME and ALIAS are as [CheckName] says, HOST is a host name, an IPv4 address
// or an IPv6 address in brackets. HOST:ALIAS is the form of docker run --link;
// an ALIAS begins with a letter, so that a mistyped port is no alias, while
// NAME= takes any name. Without either the host's name is the link's; a host
// that is an address, which no link can be called, gives ip-10-0-0-5 or
// ip-fd00--1.
//
// At most [MaxPorts] ports in one word. The error is a *SyntaxError; for /udp
// and /sctp it matches [ErrProtocol].
func ParseSpec(word string) (Spec, error) {
	spec, err := parseSpec(word)
	if err != nil {
		return Spec{}, &SyntaxError{What: "--link", Word: word, Problem: err, Want: specForm, Example: specExample}
	}
	return spec, nil
}

func parseSpec(word string) (Spec, error) {
	name, address, named := strings.Cut(word, "=")
	if !named {
		name, address = "", word
	}
	host, rest, more, err := cutHost(address)
	if err != nil {
		return Spec{}, err
	}
	spec := Spec{Name: name, Host: host}
	switch {
	case !more:
	case !isAlias(rest):
		if spec.Ports, err = parsePorts(rest); err != nil {
			return Spec{}, err
		}
	case named:
		return Spec{}, errors.New("both NAME= and :ALIAS name the link")
	default:
		spec.Name, named = rest, true
	}
	if !named {
		spec.Name = nameOfHost(host)
	}
	return spec, checkName(spec.Name)
}

// isAlias tells HOST:ALIAS from HOST:PORTS.
func isAlias(s string) bool {
	return s != "" && isLetter(s[0])
}

// nameOfHost names a link after its host. For an address it is done as clouds
// name their machines, so that it needs no thought and cannot be mistaken.
func nameOfHost(host string) string {
	if _, err := parseAddr(host); err == nil {
		return "ip-" + strings.NewReplacer(".", "-", ":", "-", "%", "-").Replace(host)
	}
	return strings.TrimSuffix(host, ".")
}

// String returns the word in its one canonical form, which parses to the same
// Spec again.
func (s Spec) String() string {
	host := s.Host
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	var b strings.Builder
	b.WriteString(s.Name + "=" + host)
	separator := ":"
	for _, port := range s.Ports {
		b.WriteString(separator + strconv.Itoa(int(port)))
		separator = ","
	}
	return b.String()
}

// link returns the link of a Spec with the given ports, each dialled at the
// Spec's host under its own number.
func (s Spec) link(ports []uint16, source Source) Link {
	l := Link{Name: s.Name, Source: source}
	for _, n := range ports {
		l.Ports = append(l.Ports, Port{Number: n, Target: Target{Host: s.Host, Port: n}})
	}
	return l
}

// FromArgs returns the link of the two arguments HOST PORT, which the 2013
// image took instead of link variables: PORT is listened on, HOST:PORT is
// dialled. An IPv6 host may be in brackets or not. The error is a
// *SyntaxError.
func FromArgs(host, port string) (Link, error) {
	l, err := fromArgs(host, port)
	if err != nil {
		return Link{}, &SyntaxError{What: "arguments", Word: host + " " + port, Problem: err, Want: "HOST PORT", Example: "192.168.1.52 6379"}
	}
	return l, nil
}

func fromArgs(host, port string) (Link, error) {
	if strings.HasPrefix(host, "[") && strings.HasSuffix(host, "]") {
		host = host[1 : len(host)-1]
	}
	host, err := parseHost(host)
	if err != nil {
		return Link{}, err
	}
	number, err := parsePort(port)
	if err != nil {
		return Link{}, err
	}
	spec := Spec{Name: nameOfHost(host), Host: host}
	if err := checkName(spec.Name); err != nil {
		return Link{}, err
	}
	return spec.link([]uint16{number}, SourceFlag), nil
}
