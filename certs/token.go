package certs

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/x509"
	"encoding/base32"
	"errors"
	"fmt"
	"strings"
)

// tokenPrefix says what a token is, and in which version.
const tokenPrefix = "amb1."

// The parts of a token, in bytes.
const (
	idSize       = 5 // 8 letters
	secretSize   = 20
	checksumSize = 4
	tokenSize    = idSize + sha256.Size + secretSize + checksumSize
)

// tokenText is RFC 4648's base32 in small letters: a double click takes it
// whole, and no shell, URL or YAML file means anything by it.
var tokenText = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// Token is what an invitation gives to a new client: how to tell the provider,
// and the secret that it is to be shown. Its text is
//
//	amb1. + base32( id 5 | SHA-256 of the root's public key 32 | secret 20 | checksum 4 )
//
// where the checksum is the first bytes of the SHA-256 of all that stands before
// it. What is printed of a Token by accident holds the id alone.
type Token struct {
	ID     string // the invitation's
	root   [sha256.Size]byte
	secret [secretSize]byte
}

// newToken makes a token with a fresh id and secret for the CA with a root.
func newToken(root *x509.Certificate) Token {
	var id [idSize]byte
	t := Token{root: rootHash(root)}
	rand.Read(id[:]) // never fails (crypto/rand)
	rand.Read(t.secret[:])
	t.ID = tokenText.EncodeToString(id[:])
	return t
}

// rootHash is what a token knows a CA by: the SHA-256 of its root's
// SubjectPublicKeyInfo.
func rootHash(root *x509.Certificate) [sha256.Size]byte {
	return sha256.Sum256(root.RawSubjectPublicKeyInfo)
}

// String is the token without its secret.
func (t Token) String() string { return tokenPrefix + t.ID + "…" }

// GoString is String, for %#v.
func (t Token) GoString() string { return t.String() }

// Text is the token to pass on. It is a secret.
func (t Token) Text() string {
	b, err := tokenText.DecodeString(t.ID)
	if err != nil {
		return "" // no token of newToken or ParseToken
	}
	b = append(append(b, t.root[:]...), t.secret[:]...)
	return tokenPrefix + tokenText.EncodeToString(append(b, tokenChecksum(b)...))
}

func tokenChecksum(b []byte) []byte {
	sum := sha256.Sum256(append([]byte(tokenPrefix), b...))
	return sum[:checksumSize]
}

// ParseToken reads a token's text. It takes capitals and space around it, as
// people and files add them. Its error is ErrToken, which says nothing of the
// text: it may be a secret with one letter wrong.
func ParseToken(text string) (Token, error) {
	fail := func(problem string) (Token, error) {
		return Token{}, fmt.Errorf("%w: %s", ErrToken, problem)
	}
	text = strings.ToLower(strings.TrimSpace(text))
	body, ok := strings.CutPrefix(text, tokenPrefix)
	if !ok {
		return fail(`it does not begin with "` + tokenPrefix + `"`)
	}
	if want := tokenText.EncodedLen(tokenSize); len(body) != want {
		return fail(fmt.Sprintf("%d letters follow %q, expected %d: it was cut off or something was added", len(body), tokenPrefix, want))
	}
	b, err := decodeToken(body)
	defer clear(b)
	if err != nil {
		return fail("it is mistyped: " + err.Error())
	}
	body, sum := string(b[:tokenSize-checksumSize]), b[tokenSize-checksumSize:]
	if subtle.ConstantTimeCompare(sum, tokenChecksum([]byte(body))) != 1 {
		return fail("it is mistyped: its checksum is wrong")
	}
	t := Token{ID: tokenText.EncodeToString(b[:idSize])}
	copy(t.root[:], b[idSize:])
	copy(t.secret[:], b[idSize+sha256.Size:])
	return t, nil
}

// decodeToken takes the one spelling of some bytes. The decoder passes over line
// breaks, and over the bits that the last letter has too many.
func decodeToken(body string) ([]byte, error) {
	b, err := tokenText.DecodeString(body)
	if err != nil || tokenText.EncodeToString(b) != body {
		return nil, errors.New("a letter is none of a to z and 2 to 7")
	}
	return b, nil
}

// checkInvitationID says whether a word can be an invitation's id. The error is
// ErrName.
func checkInvitationID(id string) error {
	if b, err := decodeToken(id); err != nil || len(b) != idSize {
		return fmt.Errorf(`%w %q for an invitation: expected 8 letters and digits, as "ambassador invite list" shows them`, ErrName, shorten(id))
	}
	return nil
}
