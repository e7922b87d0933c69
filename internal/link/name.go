package link

import (
	"errors"
	"strings"
)

// MaxName is the greatest length of a link's name in bytes: that of a DNS
// label (RFC 1035, 2.3.4), so that the name can be a host name for consumers.
const MaxName = 63

const nameForm = `1 to 63 letters, digits, ".", "_" and "-", with a letter or digit first and a letter among them`

// CheckName says whether a name can name a link. The grammar is
//
//	NAME = ( letter | digit ) { letter | digit | "." | "_" | "-" }
//
// in ASCII, at most [MaxName] bytes, with at least one letter. It is what
// Docker allows for a container, so that names are safe in certificates, logs
// and metric labels; and since a name is never a number or an IPv4 address,
// --expose can tell 6379 from redis. Case counts.
//
// The error is a *SyntaxError.
func CheckName(name string) error {
	if err := checkName(name); err != nil {
		return &SyntaxError{What: "link name", Word: name, Problem: err, Want: nameForm, Example: "redis"}
	}
	return nil
}

// checkName is CheckName with an error that does not repeat the name.
func checkName(name string) error {
	switch {
	case name == "":
		return errors.New("the link's name is missing")
	case len(name) > MaxName:
		return errors.New("the link's name is longer than 63 bytes")
	case !isLetter(name[0]) && !isDigit(name[0]):
		return errors.New("the link's name does not begin with a letter or digit")
	}
	letters := false
	for i := range len(name) {
		if !isNameByte(name[i]) {
			return errors.New(`the link's name holds something else than letters, digits, ".", "_" and "-"`)
		}
		letters = letters || isLetter(name[i])
	}
	if !letters {
		return errors.New("the link's name has no letter")
	}
	return nil
}

// EnvPrefix returns what the names of a link's variables begin with: my-redis
// gives MY_REDIS, for MY_REDIS_PORT_6379_TCP. Docker upper-cases the alias and
// turns each "-" into "_", and changes nothing else: my-redis.db gives
// MY_REDIS.DB.
func EnvPrefix(name string) string {
	return strings.ReplaceAll(strings.ToUpper(name), "-", "_")
}

func isLetter(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' }
func isDigit(c byte) bool  { return '0' <= c && c <= '9' }

func isNameByte(c byte) bool {
	return isLetter(c) || isDigit(c) || c == '.' || c == '_' || c == '-'
}
