package link

import "strings"

// The kinds of variable names, as far as links go.
type variableKind int

const (
	notLink  variableKind = iota // nothing that looks like a link
	portURL                      // ALIAS_PORT_6379_TCP: what is parsed
	firstURL                     // ALIAS_PORT: the first port once more, or a setting of another program
	derived                      // parts and ranges, which portURL variables say too
	nearly                       // holds _PORT_ but fits no form: a slip if its value is a link's
	hidden                       // holds _ENV_: never looked at
)

// variable is a name of the environment, taken apart.
type variable struct {
	kind     variableKind
	prefix   string // as written, such as MY_REDIS
	number   string // of portURL: the digits, not yet checked
	protocol string // of portURL: tcp, udp or sctp
}

// readVariable takes a name apart. The last _PORT_ counts, because an alias
// may hold the word too: FOO_PORT_PORT_80_TCP is port 80 of foo-port.
func readVariable(key string) variable {
	switch {
	case isHidden(key):
		return variable{kind: hidden}
	case isKubernetes(key):
		return variable{}
	}
	if i := strings.LastIndex(key, "_PORT_"); i > 0 {
		v := variable{prefix: key[:i]}
		v.number, v.protocol, v.kind = readSuffix(key[i+len("_PORT_"):])
		if v.kind != nearly || !strings.HasSuffix(key, "_PORT") {
			return v
		}
	}
	// Also MY_PORT_PROXY_PORT, the first port of my-port-proxy.
	if prefix, found := strings.CutSuffix(key, "_PORT"); found && prefix != "" {
		return variable{kind: firstURL, prefix: prefix}
	}
	return variable{}
}

// isHidden looks at the name as Docker would have written it: a prefix in
// another case or with "-" makes the same link, so it may not be a way around.
func isHidden(key string) bool { return strings.Contains(EnvPrefix(key), "_ENV_") }

// isKubernetes knows the variables of the cluster's own service, which every
// pod has.
func isKubernetes(key string) bool { return strings.HasPrefix(EnvPrefix(key), "KUBERNETES_") }

// readSuffix reads what follows ALIAS_PORT_.
func readSuffix(suffix string) (number, protocol string, kind variableKind) {
	number, rest, _ := strings.Cut(suffix, "_")
	protocol, part, parts := strings.Cut(rest, "_")
	switch {
	case suffix == "START" || suffix == "END": // of ALIAS_PORT_7000_TCP_PORT_START
		return "", "", derived
	case protocol != "TCP" && protocol != "UDP" && protocol != "SCTP":
		return "", "", nearly
	case !parts:
		return number, strings.ToLower(protocol), portURL
	}
	switch part {
	case "ADDR", "PORT", "PROTO", "START", "END":
		return "", "", derived
	}
	return "", "", nearly
}

// hiddenPort takes apart a name such as MY_ENV_PORT_6379_TCP, which is hidden
// but might have been meant as port 6379 of my-env.
func hiddenPort(key string) (prefix string, found bool) {
	prefix, suffix, found := strings.Cut(EnvPrefix(key), "_ENV_PORT_")
	if !found || prefix == "" || isHidden(prefix) || isKubernetes(key) {
		return "", false
	}
	_, _, kind := readSuffix(suffix)
	return prefix + "_ENV", kind == portURL
}
