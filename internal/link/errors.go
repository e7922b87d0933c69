package link

import (
	"errors"
	"fmt"
	"strconv"
)

// What errors of this package match with [errors.Is]. All but ErrNoLinks and
// the warnings also match ErrUsage.
var (
	// ErrUsage: the person wrote something that cannot work as it stands.
	// Commands exit with 2.
	ErrUsage = errors.New("wrong usage")

	// ErrSyntax: a word, name or port could not be parsed. The error is a
	// *SyntaxError.
	ErrSyntax = errors.New("syntax error")

	// ErrConflict: two links claim the same name, or the same local port with
	// different targets (then the error is a *ConflictError).
	ErrConflict = errors.New("links conflict")

	// ErrNoPorts: a --link word has no port and no source knows one.
	ErrNoPorts = errors.New("no port known")

	// ErrProtocol: udp or sctp was asked for. Only tcp is carried.
	ErrProtocol = errors.New("protocol not carried")

	// ErrNoLinks: no link was given by any means. It does not match ErrUsage:
	// forward exits with 1 on it as the 2013 image did, so the command chooses.
	ErrNoLinks = errors.New("no link")
)

// SyntaxError is a word that could not be parsed. It matches [ErrSyntax],
// [ErrUsage] and, for udp and sctp, [ErrProtocol].
type SyntaxError struct {
	What    string // what the word was read as, such as "--link"
	Word    string // the word as given
	Problem error  // what is wrong with it
	Want    string // the form that was expected
	Example string // a word of that form
}

func (e *SyntaxError) Error() string {
	return fmt.Sprintf("%s %q: %v: expected %s, for example %s", e.What, e.Word, e.Problem, e.Want, e.Example)
}

// Is makes the error match [ErrSyntax] and [ErrUsage].
func (e *SyntaxError) Is(target error) bool { return target == ErrSyntax || target == ErrUsage }

// Unwrap returns the problem.
func (e *SyntaxError) Unwrap() error { return e.Problem }

// ConflictError is two links that claim one local port with different
// targets. It matches [ErrConflict] and [ErrUsage].
type ConflictError struct {
	Local   uint16
	Links   [2]string
	Targets [2]Target
}

func (e *ConflictError) Error() string {
	return fmt.Sprintf("links %q (to %s) and %q (to %s) both claim local port %d: remove one of them, or forward them by two processes",
		e.Links[0], e.Targets[0], e.Links[1], e.Targets[1], e.Local)
}

// Is makes the error match [ErrConflict] and [ErrUsage].
func (e *ConflictError) Is(target error) bool { return target == ErrConflict || target == ErrUsage }

// VariableError is a warning about one variable of the environment, which was
// passed over. It names the variable and never holds any of its value: a value
// that is not the expected tcp://HOST:PORT may well be a URL with a password.
type VariableError struct {
	Variable string
	Problem  error
}

func (e *VariableError) Error() string {
	return fmt.Sprintf("variable %s passed over: %v", printable(e.Variable), e.Problem)
}

// Unwrap returns the problem; it matches [ErrProtocol] for udp and sctp.
func (e *VariableError) Unwrap() error { return e.Problem }

// usageError is a message of its own kind among the sentinels above.
type usageError struct {
	kind error
	text string
}

func (e *usageError) Error() string        { return e.text }
func (e *usageError) Is(target error) bool { return target == e.kind || target == ErrUsage }

// protocolError is a protocol that links may name but that is not carried.
type protocolError string

func (e protocolError) Error() string        { return string(e) + " is not carried, only tcp is" }
func (e protocolError) Is(target error) bool { return target == ErrProtocol }

// printable returns a variable's name as it is if that is safe on a terminal
// and in a log line, and quoted otherwise.
func printable(name string) string {
	if quoted := strconv.QuoteToASCII(name); quoted[1:len(quoted)-1] != name {
		return quoted
	}
	return name
}
