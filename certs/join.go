package certs

import (
	"context"
	"crypto"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// DialFunc makes a connection to the provider.
type DialFunc func(context.Context) (net.Conn, error)

// joinedFile holds the id of the invitation that a client's certificate came by,
// so that the next start with the same token asks nobody.
const joinedFile = "joined"

// Joined is what a client got for its token.
type Joined struct {
	Identity string
	Links    []string // as granted; nil if Before
	NotAfter time.Time
	// Before: the token was used for this directory's certificate already.
	Before bool
}

// Join turns an invitation's token into a certificate in a client's state
// directory, which is made if need be. Where the token was used for the
// certificate that is there, it does nothing.
//
// Nothing but a TLS handshake is sent before the other side has shown a
// provider's certificate under the root that the token names. After a lost
// answer the next call asks with the same key and gets the same certificate. An
// exchange takes 20 s at most.
//
// The errors are ErrProvider, ErrInvitation, ErrBusy, ErrRequest, ErrEnrolment,
// ErrOtherIdentity if the directory belongs to somebody else, and those of files
// and of the network.
func Join(ctx context.Context, dial DialFunc, token Token, dir string) (*Joined, error) {
	if err := makeDir(dir); err != nil {
		return nil, err
	}
	unlock, err := lockDir(ctx, dir)
	if err != nil {
		return nil, err
	}
	defer unlock()
	f := StateFiles(dir)
	have, err := joinable(f)
	if err != nil {
		return nil, err
	}
	if have != nil && joinedBy(dir) == token.ID && time.Now().Before(have.cert.NotAfter) {
		return &Joined{Identity: nameOf(have.cert), NotAfter: have.cert.NotAfter, Before: true}, nil
	}
	key, err := pendingKey(f)
	if err != nil {
		return nil, err
	}
	config := baseConfig()
	config.NextProtos = []string{EnrolProtocol}
	config.InsecureSkipVerify = true // the root is known by its hash alone: see verifyInviter
	config.VerifyConnection = func(cs tls.ConnectionState) error { return verifyInviter(cs, token.root, have) }
	l, links, err := enrol(ctx, dial, config, key, enrolRequest{Invitation: token.ID, Secret: token.secret[:]})
	if err != nil {
		return nil, err
	}
	if err := checkGiven(l, key, func(roots []*x509.Certificate) bool { return rootByHash(roots, token.root) != nil }); err != nil {
		return nil, err
	}
	// Before the certificate: without one it says nothing.
	if err := replaceFile(filepath.Join(dir, joinedFile), []byte(token.ID+"\n"), keyMode); err != nil {
		return nil, err
	}
	return &Joined{Identity: nameOf(l.cert), Links: links, NotAfter: l.cert.NotAfter}, writeLeaf(f, l)
}

func joinedBy(dir string) string {
	id, err := readFile(filepath.Join(dir, joinedFile))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(id))
}

// joinable is the client's certificate in a directory, nil if there is none, or
// why none of an invitation may be put there.
func joinable(f Files) (*leaf, error) {
	if err := sweep(f.Dir); err != nil {
		return nil, err
	}
	if _, err := os.Lstat(filepath.Join(f.Dir, caDir)); err == nil {
		return nil, otherIdentity(f.Dir, "is the state directory of a CA")
	}
	l, err := readLeaf(f)
	if errors.Is(err, ErrNoCertificate) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if id, private := isPrivate(l); !private || id.Role != RoleClient {
		return nil, otherIdentity(f.Dir, "holds the certificate of "+nameOf(l.cert))
	}
	return l, nil
}

func otherIdentity(dir, problem string) error {
	return &FileError{File: dir, Problem: problem, Hint: "give the client a state directory of its own with --state-dir", Err: ErrOtherIdentity}
}

// pendingKey is the key to ask with. It is kept before anybody is asked: the
// certificate may be made and its answer lost.
func pendingKey(f Files) (crypto.Signer, error) {
	if err := settle(f); err != nil {
		return nil, err
	}
	key, err := readKey(f.nextKey())
	if err == nil {
		return key, nil
	}
	if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, ErrMalformed) {
		return nil, err
	}
	made, err := newKey()
	if err != nil {
		return nil, err
	}
	text, err := encodeKey(made)
	if err != nil {
		return nil, err
	}
	return made, replaceFile(f.nextKey(), text, keyMode)
}

// enrol asks for a key's certificate.
func enrol(ctx context.Context, dial DialFunc, config *tls.Config, key crypto.Signer, request enrolRequest) (l *leaf, links []string, err error) {
	ctx, cancel := context.WithTimeout(ctx, enrolTimeout)
	defer cancel()
	if request.Request, err = newRequest(key); err != nil {
		return nil, nil, err
	}
	conn, err := dial(ctx)
	if err != nil {
		return nil, nil, err
	}
	answer, err := speak(ctx, conn, tls.Client(conn, config), request)
	if err != nil {
		return nil, nil, uninvited(err, request)
	}
	chain, err := parseAll(answer.Chain)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: its answer's chain: %w", ErrEnrolment, err)
	}
	roots, err := parseAll(answer.Roots)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: its answer's roots: %w", ErrEnrolment, err)
	}
	return &leaf{cert: chain[0], chain: chain, key: key, roots: roots}, answer.Links, nil
}

// uninvited explains the handshake of a provider with no open invitation, which
// wants a certificate.
func uninvited(err error, request enrolRequest) error {
	if alert, ok := alertOf(err); ok && alert == alertCertificateRequired && request.Invitation != "" {
		return fmt.Errorf("%w: the provider has none open: %w", ErrInvitation, err)
	}
	return err
}

func rootByHash(certs []*x509.Certificate, hash [sha256.Size]byte) *x509.Certificate {
	for _, c := range certs {
		if c.IsCA && rootHash(c) == hash && c.CheckSignatureFrom(c) == nil {
			return c
		}
	}
	return nil
}

// verifyInviter checks that the other side is a provider under the root of the
// token: it is all that stands between the secret and whoever answers at the
// provider's address. have is the certificate that would be replaced: its CA has
// to be the same.
func verifyInviter(cs tls.ConnectionState, hash [sha256.Size]byte, have *leaf) error {
	fail := func(err error) error {
		return &tls.CertificateVerificationError{UnverifiedCertificates: cs.PeerCertificates, Err: fmt.Errorf("%w: %w", ErrProvider, err)}
	}
	if cs.Version != tls.VersionTLS13 || cs.NegotiatedProtocol != EnrolProtocol || len(cs.PeerCertificates) == 0 {
		return fail(errors.New("it does not speak " + EnrolProtocol))
	}
	cert, others := cs.PeerCertificates[0], cs.PeerCertificates[1:]
	root := rootByHash(others, hash)
	if root == nil {
		return fail(errors.New("its CA is another"))
	}
	_, err := cert.Verify(x509.VerifyOptions{
		Roots: poolOf([]*x509.Certificate{root}), Intermediates: poolOf(others),
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	})
	if err != nil {
		return fail(err)
	}
	id, ok := identityOf(cert)
	switch {
	case !ok:
		return fail(ErrNoIdentity)
	case id.Role != RoleProvider:
		return fail(fmt.Errorf("%w: it is %s", ErrWrongRole, id))
	case !confined(root, id.TrustDomain):
		return fail(fmt.Errorf("%w: it is %s", ErrTrustDomain, id))
	case have != nil && !overlap(have.roots, others):
		return fmt.Errorf("%w: there is a certificate of %s of another CA here: give this provider's a directory of its own with --state-dir, or move the files away",
			ErrOtherIdentity, nameOf(have.cert))
	}
	return nil
}

// checkGiven checks a certificate before it is kept. The provider is trusted to
// say who we are, and not to be free of mistakes.
func checkGiven(l *leaf, key crypto.Signer, known func([]*x509.Certificate) bool) error {
	id, private := isPrivate(l)
	// Not by this host's clock, which may be wrong: then it is kept, and told
	// when it is used.
	issued := l.cert.NotBefore.Add(backdate)
	var err error
	switch {
	case !sameKey(l.cert, key):
		err = errors.New("it is for another key")
	case !private || id.Role != RoleClient:
		err = errors.New("it is no client's of a private CA")
	case !known(l.roots):
		err = errors.New("its CA is another")
	default:
		err = l.verify(issued, x509.ExtKeyUsageClientAuth)
	}
	if err != nil {
		return fmt.Errorf("%w: it sent one that is no good: %w", ErrEnrolment, err)
	}
	return nil
}
