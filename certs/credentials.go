package certs

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"
)

// Credentials are a side's certificate, key and CA, checked and ready for TLS.
// Methods may be called by several goroutines at once.
type Credentials struct {
	files Files
	role  Role
	// current is what new handshakes use. A reload is a swap of this pointer.
	current atomic.Pointer[material]
}

// material is one state of the files.
type material struct {
	leaf     tls.Certificate
	roots    *x509.CertPool
	rootList []*x509.Certificate
	issuers  []*x509.Certificate // behind the leaf, newest first
	self     Identity            // of our own certificate; zero with another CA
	private  bool                // the files are of a private CA
}

// Load reads a side's files and checks all that can be checked without the
// peer. Its errors are [*FileError]s around ErrNoCertificate, ErrMissing,
// ErrMode, ErrMalformed, ErrMismatch, ErrExpired, ErrNotYetValid, ErrWrongCA and
// ErrWrongRole.
func Load(f Files, role Role) (*Credentials, error) {
	m, err := loadMaterial(f, role, time.Now())
	if err != nil {
		return nil, err
	}
	c := &Credentials{files: f, role: role}
	c.current.Store(m)
	return c, nil
}

// Reload reads the files again and uses them for new handshakes from now on. It
// says whether they hold another certificate or CA than before. With an error,
// one of those of [Load], what was in use stays so.
func (c *Credentials) Reload() (changed bool, err error) {
	m, err := loadMaterial(c.files, c.role, time.Now())
	if err != nil {
		return false, err
	}
	old := c.current.Swap(m)
	return !m.leaf.Leaf.Equal(old.leaf.Leaf) || !slices.EqualFunc(m.rootList, old.rootList, (*x509.Certificate).Equal), nil
}

// Files are where the credentials come from.
func (c *Credentials) Files() Files { return c.files }

// Private says whether the certificate and the CA beside it are of a CA that
// [Init] made. Peers then are known by their identities, otherwise by what the
// other CA says.
func (c *Credentials) Private() bool { return c.current.Load().private }

// Identity is who the certificate speaks for: see [PeerIdentity].
func (c *Credentials) Identity() (string, error) { return peerName(c.current.Load().leaf.Leaf) }

// NotAfter is when the certificate expires.
func (c *Credentials) NotAfter() time.Time { return c.current.Load().leaf.Leaf.NotAfter }

func loadMaterial(f Files, role Role, now time.Time) (*material, error) {
	l, err := readLeaf(f)
	if file := (*FileError)(nil); errors.Is(err, ErrNoCertificate) && errors.As(err, &file) {
		file.Hint = renewHint(f, role)
	}
	if err != nil {
		return nil, err
	}
	if err := checkTime(f, l.cert, role, now); err != nil {
		return nil, err
	}
	if err := checkRole(f, l, role, now); err != nil {
		return nil, err
	}
	m := &material{leaf: l.tls(), roots: poolOf(l.roots), rootList: l.roots, issuers: l.chain[1:]}
	m.self, m.private = isPrivate(l)
	return m, nil
}

// isPrivate decides which rules hold for peers, from our own files and nothing
// that a peer sends: our certificate has an ambassador identity, and every root
// beside it is confined by its name constraint to that identity's trust domain,
// as those of [Init] are. No public or company CA's root is, so with theirs the
// host name of a provider is always verified.
func isPrivate(l *leaf) (Identity, bool) {
	id, ok := l.identity()
	if !ok {
		return Identity{}, false
	}
	for _, root := range l.roots {
		if !confined(root, id.TrustDomain) {
			return Identity{}, false
		}
	}
	return id, true
}

// confined says whether a root can vouch for nothing but a trust domain.
func confined(root *x509.Certificate, trustDomain string) bool {
	return root.PermittedDNSDomainsCritical && slices.Equal(root.PermittedURIDomains, []string{trustDomain})
}

func usageOf(role Role) x509.ExtKeyUsage {
	if role == RoleProvider {
		return x509.ExtKeyUsageServerAuth
	}
	return x509.ExtKeyUsageClientAuth
}

// renewHint says how to come by a good certificate.
func renewHint(f Files, role Role) string {
	switch {
	case f.Dir == "":
		return "bring a new one from its CA"
	case role == RoleProvider:
		return `restart "ambassador serve", which makes a new one`
	}
	return hintIssue
}

func checkTime(f Files, cert *x509.Certificate, role Role, now time.Time) error {
	if now.After(cert.NotAfter) {
		return &FileError{File: f.Cert, Problem: "has expired on " + date(cert.NotAfter), Hint: renewHint(f, role), Err: ErrExpired}
	}
	if now.Before(cert.NotBefore) {
		return notYetValid(f, "is not valid before ", cert, now)
	}
	return nil
}

func notYetValid(f Files, problem string, cert *x509.Certificate, now time.Time) error {
	return &FileError{File: f.Cert, Problem: problem + date(cert.NotBefore), Hint: "set this host's clock, which says " + date(now), Err: ErrNotYetValid}
}

// checkRole checks that our own certificate is one for our side and of the CA
// beside it.
func checkRole(f Files, l *leaf, role Role, now time.Time) error {
	if id, ok := l.identity(); ok && id.Role != role {
		return wrongRole(f, role)
	}
	err := l.verify(now, usageOf(role))
	if err == nil {
		return nil
	}
	if invalid := (x509.CertificateInvalidError{}); errors.As(err, &invalid) {
		switch invalid.Reason {
		case x509.IncompatibleUsage:
			return wrongRole(f, role)
		case x509.Expired:
			if invalid.Cert != nil && now.Before(invalid.Cert.NotBefore) {
				return notYetValid(f, "is under a CA certificate that is not valid before ", invalid.Cert, now)
			}
			return &FileError{File: f.Cert, Problem: fmt.Sprintf("is under a CA certificate outside of its time (%v)", err), Hint: renewHint(f, role), Err: errors.Join(ErrExpired, err)}
		}
	}
	return &FileError{
		File: f.Cert, Problem: fmt.Sprintf("does not chain to %s (%v)", f.CA, err),
		Hint: "bring a certificate and a CA file that belong together", Err: errors.Join(ErrWrongCA, err),
	}
}

func wrongRole(f Files, role Role) error {
	hint := "bring one for this side"
	switch {
	case f.Dir == "":
	case role == RoleClient:
		hint = "the client needs a state directory of its own: " + hintIssue
	default:
		hint = "give the provider a state directory of its own with --state-dir"
	}
	return &FileError{
		File: f.Cert, Problem: fmt.Sprintf("is a %s's certificate, and a %s's is needed", role.other(), role),
		Hint: hint, Err: ErrWrongRole,
	}
}

// Certificate is the certificate in use.
func (c *Credentials) Certificate() *x509.Certificate { return c.current.Load().leaf.Leaf }
