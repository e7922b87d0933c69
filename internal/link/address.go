package link

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// MaxPorts is the most ports that one --link word may name. Every port is a
// listener on each client, and clients run with 1024 descriptors by default
// (systemd.exec(5), LimitNOFILE), so a greater range is a slip of the pen.
const MaxPorts = 1024

// maxHost is the greatest length of a host name in bytes (RFC 1035, 2.3.4).
const maxHost = 253

// The errors of this file never repeat what they were given: it may be part of
// a variable's value, which is not to be shown.
var (
	errHostMissing = errors.New("the host is missing")
	errHostLong    = errors.New("the host is longer than 253 bytes")
	errHostBytes   = errors.New(`the host is neither an address nor a name of letters, digits, ".", "_" and "-"`)
	errHostNumber  = errors.New("the host is a number but no IPv4 address")
	errBrackets    = errors.New("brackets hold something else than an IPv6 address")
	errUnbracketed = errors.New("too many colons: an IPv6 address needs brackets, as [fd00::1]")
	errPortMissing = errors.New("the port is missing")
	errPortRange   = errors.New("a port is a number from 1 to 65535, without sign or leading zero")
	errTooMany     = fmt.Errorf("more than %d ports in one link", MaxPorts)
)

// parseHost checks a host without brackets and returns it with addresses in
// their one canonical form (RFC 5952), so that equal targets compare equal.
func parseHost(host string) (string, error) {
	if addr, err := parseAddr(host); err == nil {
		return addr.String(), nil
	}
	switch {
	case host == "":
		return "", errHostMissing
	case len(host) > maxHost:
		return "", errHostLong
	case strings.Trim(host, "0123456789.") == "":
		return "", errHostNumber
	case !isLetter(host[0]) && !isDigit(host[0]) && host[0] != '_':
		return "", errHostBytes
	}
	for i := range len(host) {
		if !isNameByte(host[i]) {
			return "", errHostBytes
		}
	}
	return host, nil
}

// parseAddr is netip.ParseAddr with the zone of an IPv6 address held to the
// bytes of a name, where netip takes any.
func parseAddr(s string) (netip.Addr, error) {
	addr, err := netip.ParseAddr(s)
	if err != nil {
		return netip.Addr{}, err
	}
	zone := addr.Zone()
	for i := range len(zone) {
		if !isNameByte(zone[i]) {
			return netip.Addr{}, errHostBytes
		}
	}
	return addr, nil
}

// cutHost splits HOST and HOST:REST; an IPv6 host must be in brackets. The
// host comes back as parseHost gives it.
func cutHost(s string) (host, rest string, more bool, err error) {
	if strings.HasPrefix(s, "[") {
		return cutBrackets(s)
	}
	if strings.Count(s, ":") > 1 {
		return "", "", false, errUnbracketed
	}
	host, rest, more = strings.Cut(s, ":")
	host, err = parseHost(host)
	return host, rest, more, err
}

func cutBrackets(s string) (host, rest string, more bool, err error) {
	inner, after, closed := strings.Cut(s[1:], "]")
	addr, err := parseAddr(inner)
	if !closed || err != nil || !addr.Is6() {
		return "", "", false, errBrackets
	}
	rest, more = strings.CutPrefix(after, ":")
	if after != "" && !more {
		return "", "", false, errors.New("something else than a colon follows the brackets")
	}
	return addr.String(), rest, more, nil
}

// parsePort takes a port as a person or Docker writes it.
func parsePort(s string) (uint16, error) {
	if s == "" {
		return 0, errPortMissing
	}
	if len(s) > 5 || s[0] == '0' {
		return 0, errPortRange
	}
	n := 0
	for i := range len(s) {
		if !isDigit(s[i]) {
			return 0, errPortRange
		}
		n = 10*n + int(s[i]-'0')
	}
	if n > 65535 {
		return 0, errPortRange
	}
	return uint16(n), nil
}

// parsePorts takes a list of ports and ranges, such as 5672,7000-7005, each
// with an optional /tcp behind it, and returns them sorted, each one once.
func parsePorts(list string) ([]uint16, error) {
	var ports []uint16
	for part := range strings.SplitSeq(list, ",") {
		first, last, err := parseRange(part)
		if err != nil {
			return nil, fmt.Errorf("port %q: %w", part, err)
		}
		if len(ports)+int(last)-int(first)+1 > MaxPorts {
			return nil, errTooMany
		}
		for n := int(first); n <= int(last); n++ {
			ports = append(ports, uint16(n))
		}
	}
	slices.Sort(ports)
	return slices.Compact(ports), nil
}

func parseRange(part string) (first, last uint16, err error) {
	part, err = cutProtocol(part)
	if err != nil {
		return 0, 0, err
	}
	low, high, isRange := strings.Cut(part, "-")
	if first, err = parsePort(low); err != nil {
		return 0, 0, err
	}
	if !isRange {
		return first, first, nil
	}
	if last, err = parsePort(high); err != nil {
		return 0, 0, err
	}
	if last < first {
		return 0, 0, errors.New("the range ends before it begins")
	}
	return first, last, nil
}

// cutProtocol takes Docker's /tcp off a port and refuses /udp and /sctp.
func cutProtocol(port string) (string, error) {
	port, protocol, given := strings.Cut(port, "/")
	if !given {
		return port, nil
	}
	switch protocol = strings.ToLower(protocol); protocol {
	case "tcp":
		return port, nil
	case "udp", "sctp":
		return "", protocolError(protocol)
	default:
		return "", errors.New("the protocol is not tcp")
	}
}
