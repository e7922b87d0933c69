package link

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
)

const (
	exposeForm    = "[[IP:]PORT=]REMOTE with REMOTE one of PORT, LINK and LINK:PORT"
	exposeExample = "6379, 16379=6379 or 127.0.0.1:16379=redis:6379"
)

// Expose is one --expose word: a local port, and what the provider offers
// behind it. Either Link or Port is set.
type Expose struct {
	// Host is the local IP to bind, without brackets. If "", the client's
	// default. It is only set together with Local.
	Host string

	// Local is the local port. If zero, the same number as the remote port.
	// With a Link and no Port it can only be kept if the link turns out to
	// have a single port; the client refuses it otherwise.
	Local uint16

	// Link is the link's name. If "", any link that offers Port; the client
	// refuses a Port that several links offer.
	Link string

	// Port is the number in the link. If zero, all ports of Link.
	Port uint16
}

// ParseExpose parses one --expose word:
//
//	EXPOSE = [ LOCAL "=" ] REMOTE | LOCAL ":" PORT
//	LOCAL  = [ IP ":" ] PORT
//	REMOTE = PORT | LINK | LINK ":" PORT
//
// An IPv6 address is in brackets. The second form is Docker's: 16379:6379 and
// 127.0.0.1:16379:6379 mean 16379=6379 and 127.0.0.1:16379=6379. Remote ports
// may have a /tcp behind them. The error is a *SyntaxError; for /udp and /sctp
// it matches [ErrProtocol].
func ParseExpose(word string) (Expose, error) {
	e, err := parseExpose(word)
	if err != nil {
		return Expose{}, &SyntaxError{What: "--expose", Word: word, Problem: err, Want: exposeForm, Example: exposeExample}
	}
	return e, nil
}

func parseExpose(word string) (Expose, error) {
	local, remote, given := strings.Cut(word, "=")
	if !given {
		local, remote, given = cutDocker(word)
		if given && !isPort(remote) {
			return Expose{}, errors.New("a local port and a link are joined by =, as 16379=redis")
		}
	}
	var e Expose
	var err error
	if given {
		if e.Host, e.Local, err = parseLocal(local); err != nil {
			return Expose{}, err
		}
	} else {
		remote = word
	}
	e.Link, e.Port, err = parseRemote(remote)
	return e, err
}

// cutDocker splits Docker's LOCAL:PORT before its last colon. A name in front
// of the last colon is a link, so that the word is a REMOTE as a whole.
func cutDocker(word string) (local, port string, isDocker bool) {
	i := strings.LastIndexByte(word, ':')
	if i < 0 || checkName(word[:i]) == nil {
		return "", "", false
	}
	return word[:i], word[i+1:], true
}

func parseLocal(local string) (host string, port uint16, err error) {
	if _, err := parseAddr(strings.Trim(local, "[]")); err == nil {
		return "", 0, errors.New("the local address has no port, write IP:PORT=REMOTE with IPv6 in brackets")
	}
	i := strings.LastIndexByte(local, ':')
	if i >= 0 {
		if host, err = parseBind(local[:i]); err != nil {
			return "", 0, err
		}
	}
	if port, err = parsePort(local[i+1:]); err != nil {
		return "", 0, fmt.Errorf("local port: %w", err)
	}
	return host, port, nil
}

// parseBind takes the IP of a local address, which for IPv6 is in brackets.
// Names are refused: what they resolve to may change, and a listener that
// moves to another interface unseen is worse than one that does not start.
func parseBind(s string) (string, error) {
	if strings.HasPrefix(s, "[") {
		host, _, more, err := cutBrackets(s)
		if err == nil && more {
			err = errBrackets
		}
		return host, err
	}
	addr, err := parseAddr(s)
	if err != nil || !addr.Is4() {
		return "", errors.New("the local address is not an IP, with IPv6 in brackets, such as 127.0.0.1 or [::1]")
	}
	return addr.String(), nil
}

func parseRemote(remote string) (name string, port uint16, err error) {
	if remote == "" {
		return "", 0, errors.New("the remote port or link is missing")
	}
	if isPort(remote) {
		port, err = parseRemotePort(remote)
		return "", port, err
	}
	name, number, both := strings.Cut(remote, ":")
	if err := checkName(name); err != nil {
		return "", 0, err
	}
	if both {
		port, err = parseRemotePort(number)
	}
	return name, port, err
}

func parseRemotePort(s string) (uint16, error) {
	number, err := cutProtocol(s)
	if err != nil {
		return 0, err
	}
	port, err := parsePort(number)
	if err != nil {
		return 0, fmt.Errorf("remote port: %w", err)
	}
	return port, nil
}

// isPort says whether a remote can only be meant as a port: digits, perhaps
// with a protocol behind them. No link's name is such (see CheckName).
func isPort(s string) bool {
	s, _, _ = strings.Cut(s, "/")
	return strings.Trim(s, "0123456789") == ""
}

// String returns the word in its one canonical form, which parses to the same
// Expose again.
func (e Expose) String() string {
	remote := e.Link
	switch port := strconv.Itoa(int(e.Port)); {
	case e.Link == "":
		remote = port
	case e.Port != 0:
		remote += ":" + port
	}
	local := strconv.Itoa(int(e.Local))
	switch {
	case e.Local == 0:
		return remote
	case e.Host != "":
		local = net.JoinHostPort(e.Host, local)
	}
	return local + "=" + remote
}
