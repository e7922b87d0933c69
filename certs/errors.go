package certs

import (
	"errors"
	"fmt"
)

// What the functions of this package fail with. All are matched with errors.Is;
// what is wrong with one file comes as a [*FileError] around one of them.
var (
	// ErrExists: [Init] in a state directory that has a CA.
	ErrExists = errors.New("there is a CA already")
	// ErrNoCA: [Open] in a state directory without a CA.
	ErrNoCA = errors.New("no CA")
	// ErrNoCertificate: the certificate file does not exist.
	ErrNoCertificate = errors.New("no certificate")
	// ErrMissing: a file that belongs to a certificate does not exist.
	ErrMissing = errors.New("file is missing")
	// ErrMalformed: a file does not hold what it should.
	ErrMalformed = errors.New("malformed file")
	// ErrMode: others than its owner can use a key or a state directory.
	ErrMode = errors.New("open to others")
	// ErrExpired: a certificate is past its time.
	ErrExpired = errors.New("certificate expired")
	// ErrNotYetValid: a certificate's time is still to come.
	ErrNotYetValid = errors.New("certificate not yet valid")
	// ErrWrongCA: a certificate does not chain to the CA beside it.
	ErrWrongCA = errors.New("certificate of another CA")
	// ErrMismatch: a key is not that of the certificate beside it.
	ErrMismatch = errors.New("certificate and key do not match")
	// ErrWrongRole: a provider's certificate where a client's should be, or
	// the reverse. It may be our own or the peer's.
	ErrWrongRole = errors.New("certificate for the other role")
	// ErrOtherIdentity: a directory holds the certificate of somebody else,
	// which is not overwritten.
	ErrOtherIdentity = errors.New("directory belongs to another identity")
	// ErrName: a name that cannot be a client's, a provider's, a link's or a
	// trust domain's.
	ErrName = errors.New("invalid name")
	// ErrBounds: a number or time that is too small or too large.
	ErrBounds = errors.New("out of bounds")
	// ErrIdentity: a URI that is not an [Identity].
	ErrIdentity = errors.New("not an ambassador identity")
	// ErrNoIdentity: a peer's certificate says of nobody who it is.
	ErrNoIdentity = errors.New("certificate without an identity")
	// ErrTrustDomain: a peer's identity is of another trust domain than ours.
	ErrTrustDomain = errors.New("identity of another trust domain")
	// ErrUnknownClient: there is no such client of this CA.
	ErrUnknownClient = errors.New("unknown client")
	// ErrRevoked: the client, or this certificate of it, was revoked.
	ErrRevoked = errors.New("revoked")
	// ErrNotGranted: a link that is not in a client's grant cannot be taken away.
	ErrNotGranted = errors.New("not granted")
	// ErrToken: a text that is no token; it may be mistyped or cut off.
	ErrToken = errors.New("not an invitation's token")
	// ErrInvitation: the invitation does not exist, or not any more. A client is
	// not told which.
	ErrInvitation = errors.New("invitation refused")
	// ErrNoInvitation: there is no such invitation to take back.
	ErrNoInvitation = errors.New("there is no invitation")
	// ErrProvider: the other side is not the provider that a token is from.
	ErrProvider = errors.New("not the provider of this token")
	// ErrRequest: a peer's request to be enrolled that is not acceptable.
	ErrRequest = errors.New("enrolment request refused")
	// ErrBusy: too many have asked to be enrolled; later it will work.
	ErrBusy = errors.New("too many enrolments at the moment")
	// ErrEnrolment: the provider could not enrol, and its log says why.
	ErrEnrolment = errors.New("the provider could not make a certificate")
	// ErrSealed: the root key is sealed and no passphrase was given.
	ErrSealed = errors.New("root key is sealed")
	// ErrPassphrase: the passphrase does not open the root key, or is empty.
	ErrPassphrase = errors.New("wrong passphrase")
)

// FileError says in one line which file is wrong, what is wrong with it and
// what to do about it.
type FileError struct {
	File    string
	Problem string // continues "FILE ", such as "has expired on 3 May 2027"
	Hint    string // what to do; may be empty
	Err     error  // what errors.Is finds: a sentinel, or several joined
}

func (e *FileError) Error() string {
	if e.Hint == "" {
		return e.File + " " + e.Problem
	}
	return e.File + " " + e.Problem + ": " + e.Hint
}

// Unwrap returns Err.
func (e *FileError) Unwrap() error { return e.Err }

// What to do, in words that several errors share.
const (
	// hintIssue serves a client that has no usable certificate.
	hintIssue = `run "ambassador invite NAME" on the provider's host and pass the token with --join`
	// hintRemake serves a CA that cannot go on.
	hintRemake = `to begin anew, move the directory away, run "ambassador certs init" and invite every client again`
)

func malformed(file string, err error, hint string) *FileError {
	return &FileError{File: file, Problem: fmt.Sprintf("is malformed: %v", err), Hint: hint, Err: errors.Join(ErrMalformed, err)}
}
