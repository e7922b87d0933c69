package certs

import (
	"errors"
	"fmt"
	"os"
	"strings"
)

// Role is a side of the pair.
type Role string

// The roles, as they stand in an identity.
const (
	RoleClient   Role = "client"
	RoleProvider Role = "provider"
)

func (r Role) other() Role {
	if r == RoleClient {
		return RoleProvider
	}
	return RoleClient
}

// Identity is who a certificate of the private CA speaks for:
// spiffe://TRUST-DOMAIN/ROLE/NAME. It follows the SPIFFE ID specification.
type Identity struct {
	TrustDomain string
	Role        Role
	Name        string
}

// String is the URI that stands in the certificate.
func (i Identity) String() string {
	return "spiffe://" + i.TrustDomain + "/" + string(i.Role) + "/" + i.Name
}

// ParseIdentity takes what [Identity.String] gives and nothing else: no other
// case of scheme or trust domain, no port, query, escape or further segment.
// Each identity thus has one spelling, and comparing strings is enough. Its
// error is ErrIdentity.
func ParseIdentity(uri string) (Identity, error) {
	fail := func(problem error) (Identity, error) {
		return Identity{}, fmt.Errorf("%w: %q: %w", ErrIdentity, shorten(uri), problem)
	}
	rest, ok := strings.CutPrefix(uri, "spiffe://")
	parts := strings.Split(rest, "/")
	if !ok || len(parts) != 3 {
		return fail(errors.New("expected spiffe://TRUST-DOMAIN/client/NAME or spiffe://TRUST-DOMAIN/provider/NAME"))
	}
	i := Identity{TrustDomain: parts[0], Role: Role(parts[1]), Name: parts[2]}
	if err := CheckTrustDomain(i.TrustDomain); err != nil {
		return fail(err)
	}
	if i.Role != RoleClient && i.Role != RoleProvider {
		return fail(errors.New("the role is neither client nor provider"))
	}
	if err := CheckName(i.Name); err != nil {
		return fail(err)
	}
	return i, nil
}

// shorten keeps an unlimited word out of a log line.
func shorten(s string) string {
	const most = 300
	if len(s) <= most {
		return s
	}
	return s[:most] + "…"
}

// MaxName is the greatest length of a name in bytes. It is that of a link's
// name and of a DNS label (RFC 1035 §2.3.4), so that a host's short name fits.
const MaxName = 63

// CheckName says whether a name can be that of a client or a provider. The
// grammar is
//
//	NAME = ( letter | digit ) { letter | digit | "-" | "_" | "." }
//
// in ASCII, at most [MaxName] bytes. A name stands in URIs, file names, logs
// and metric labels, and means nothing special in any of them: with its first
// byte, "..", hidden files and what looks like a flag are out. Case counts. The
// error is ErrName.
func CheckName(name string) error {
	ok := name != "" && len(name) <= MaxName && isAlnum(name[0])
	for i := range len(name) {
		ok = ok && isNameByte(name[i])
	}
	if !ok {
		return fmt.Errorf(`%w %q: expected 1 to %d letters, digits, "-", "_" and ".", with a letter or digit first, such as web-1`, ErrName, shorten(name), MaxName)
	}
	return nil
}

// CheckTrustDomain says whether a word can be a trust domain: a DNS name of
// lower-case letters, digits and "-", of at most 253 bytes (RFC 1035 §2.3.4)
// and with a letter in it. SPIFFE compares trust domains by byte and wants
// lower case; a letter keeps it from being an IP address, to which URI name
// constraints cannot be applied (RFC 5280 §4.2.1.10). The error is ErrName.
func CheckTrustDomain(domain string) error {
	ok := len(domain) <= 253
	letter := false
	for label := range strings.SplitSeq(domain, ".") {
		ok = ok && label != "" && len(label) <= MaxName && label[0] != '-' && label[len(label)-1] != '-'
		for i := range len(label) {
			c := label[i]
			ok = ok && isNameByte(c) && c != '_' && (c < 'A' || c > 'Z')
			letter = letter || (isAlnum(c) && c > '9')
		}
	}
	if !ok || !letter {
		return fmt.Errorf(`%w %q for a trust domain: expected lower-case letters, digits, "-" and ".", such as ambassador or example.org`, ErrName, shorten(domain))
	}
	return nil
}

func isAlnum(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'z'
}

func isNameByte(c byte) bool { return isAlnum(c) || c == '-' || c == '_' || c == '.' }

// hostName is the provider's name where none is given: the host's, with what
// cannot stand in a name replaced.
func hostName() string {
	host, err := os.Hostname()
	if err != nil {
		return defaultProvider
	}
	return safeName(host)
}

const defaultProvider = "provider"

func safeName(host string) string {
	safe := strings.Map(func(r rune) rune {
		if r < 0x80 && isNameByte(byte(r)) {
			return r
		}
		return '-'
	}, strings.ToLower(host))
	safe = strings.TrimLeft(safe, "-_.")
	safe = safe[:min(len(safe), MaxName)]
	if CheckName(safe) != nil {
		return defaultProvider
	}
	return safe
}
