package certs

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
)

// redeem turns a secret and a key into a certificate. The use is written down
// before the certificate is made, so that no crash gives two of them for one
// use. The same key is given the same certificate again as long as the
// invitation lasts: the first answer may have been lost. The error is
// ErrInvitation, with what the provider's log may know of it, or that of a file.
func (ca *CA) redeem(id string, secret []byte, request *x509.CertificateRequest) (l *leaf, r ClientRecord, err error) {
	err = ca.locked(func(ca *CA) error {
		f, err := ca.readInvitation(id)
		if err != nil {
			return err
		}
		if f == nil {
			return fmt.Errorf("%w: there is none with the id %q", ErrInvitation, shorten(id))
		}
		if !f.matches(secret) {
			return fmt.Errorf("%w: wrong secret for %s", ErrInvitation, id)
		}
		if !f.Expires.After(ca.now()) {
			return fmt.Errorf("%w: %s for %s has expired on %s", ErrInvitation, id, f.Identity, date(f.Expires))
		}
		if err := ca.stillInvited(id, f); err != nil {
			return err
		}
		cert, err := ca.use(id, f, request)
		if err != nil {
			return err
		}
		l = &leaf{cert: cert, chain: ca.chain(cert), roots: ca.roots}
		r, err = ca.rememberOnce(id, f, cert)
		return err
	})
	return l, r, err
}

// stillInvited refuses an invitation from before its client was revoked: its file
// may have been left, or have come back.
func (ca *CA) stillInvited(id string, f *invitationFile) error {
	client, err := ParseIdentity(f.Identity)
	if err != nil {
		return err
	}
	r, ok, err := ca.record(client)
	if err == nil && ok && r.Revocations != f.Revocations {
		err = fmt.Errorf("%w: %s is from before %s was revoked", ErrInvitation, id, f.Identity)
	}
	return err
}

// use writes the use of an invitation down, and its certificate.
func (ca *CA) use(id string, f *invitationFile, request *x509.CertificateRequest) (*x509.Certificate, error) {
	sum := sha256.Sum256(request.RawSubjectPublicKeyInfo)
	fingerprint := hex.EncodeToString(sum[:])
	made := f.redemption(fingerprint)
	if made == nil {
		if len(f.Redemptions) >= f.Uses {
			return nil, fmt.Errorf("%w: %s for %s is used up", ErrInvitation, id, f.Identity)
		}
		f.Redemptions = append(f.Redemptions, redemption{KeyFingerprint: fingerprint})
		if err := writeJSON(ca.invitationFile(id), f); err != nil {
			return nil, err
		}
		made = f.redemption(fingerprint)
	}
	if made.Certificate != nil {
		cert, err := x509.ParseCertificate(made.Certificate)
		if err != nil {
			return nil, malformed(ca.invitationFile(id), err, "remove it, and invite the client anew")
		}
		return cert, nil
	}
	client, err := ParseIdentity(f.Identity)
	if err != nil {
		return nil, err
	}
	cert, err := ca.sign(client, request.PublicKey)
	if err != nil {
		return nil, err
	}
	made.Certificate = cert.Raw
	return cert, writeJSON(ca.invitationFile(id), f)
}

// rememberOnce records an invitation's certificate, unless that was done before,
// and with the first of them its grant.
func (ca *CA) rememberOnce(id string, f *invitationFile, cert *x509.Certificate) (ClientRecord, error) {
	client, err := ParseIdentity(f.Identity)
	if err != nil {
		return ClientRecord{}, err
	}
	r, ok, err := ca.record(client)
	if err != nil {
		return ClientRecord{}, err
	}
	serial := serialNumber(cert)
	if !ok || !slices.ContainsFunc(r.Certificates, func(c IssuedCertificate) bool { return c.Serial == serial }) {
		r, err = ca.remember(client, cert, f.grant)
	}
	if err != nil || f.Granted {
		return r, err
	}
	f.Granted = true
	return r, writeJSON(ca.invitationFile(id), f)
}

// grant gives a client the invitation's links: once, so that a later host does
// not undo what was granted or withdrawn since the first, and not over a change
// by hand that is newer than the invitation.
func (f *invitationFile) grant(r *ClientRecord, known bool) {
	if len(f.Links) > 0 && (!known || !f.Granted && r.Changes == f.Changes) {
		r.Links = sorted(f.Links)
	}
}

// renewFor makes a certificate with a new key for the holder of one that is
// still good. The errors are those of [CA.Admit], or that of a file.
func (ca *CA) renewFor(holder *x509.Certificate, request *x509.CertificateRequest) (l *leaf, r ClientRecord, err error) {
	err = ca.locked(func(ca *CA) error {
		if r, err = ca.admitted(holder); err != nil {
			return err
		}
		id, err := ParseIdentity(r.Identity)
		if err != nil {
			return err
		}
		cert, err := ca.sign(id, request.PublicKey)
		if err != nil {
			return err
		}
		l = &leaf{cert: cert, chain: ca.chain(cert), roots: ca.roots}
		r, err = ca.remember(id, cert, nil)
		return err
	})
	return l, r, err
}

// parseRequest takes a PKCS #10 request (RFC 2986) for its key alone: who it is
// for is not the asker's to say. Its own signature shows that the asker has the
// key. The error is ErrRequest.
func parseRequest(der []byte) (*x509.CertificateRequest, error) {
	request, err := x509.ParseCertificateRequest(der)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRequest, err)
	}
	switch key := request.PublicKey.(type) {
	case *ecdsa.PublicKey:
		if key.Curve != elliptic.P256() {
			err = fmt.Errorf("a key on %s", key.Params().Name)
		}
	case ed25519.PublicKey:
	default:
		err = fmt.Errorf("a key of %s", request.PublicKeyAlgorithm)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w, expected ECDSA on P-256 or Ed25519", ErrRequest, err)
	}
	if err := request.CheckSignature(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRequest, errors.Join(errors.New("its signature is not by its key"), err))
	}
	return request, nil
}
