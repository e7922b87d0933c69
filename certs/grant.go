package certs

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Admit says who the client of a finished handshake is and what it may use: "*"
// stands for all links. Its errors are ErrRevoked, ErrUnknownClient and
// ErrNoIdentity, which are about the client, and those of files. The client's
// record is read at each call, so that what another process changes counts at
// once.
//
// It believes the certificate: call it for connections of [ServerConfig] alone.
func (ca *CA) Admit(cs tls.ConnectionState) (identity string, links []string, err error) {
	identity, err = PeerIdentity(cs)
	if err != nil {
		return "", nil, err
	}
	r, err := ca.admitted(cs.PeerCertificates[0])
	return identity, r.Links, err
}

// admitted is the record of a certificate's holder, if it may come in with it.
func (ca *CA) admitted(cert *x509.Certificate) (ClientRecord, error) {
	id, ok := identityOf(cert)
	if !ok || id.TrustDomain != ca.trustDomain || id.Role != RoleClient {
		return ClientRecord{}, fmt.Errorf("%w: %s is no client of this CA", ErrUnknownClient, nameOf(cert))
	}
	r, ok, err := ca.record(id)
	switch {
	case err != nil:
		return ClientRecord{}, err
	case !ok:
		return ClientRecord{}, fmt.Errorf(`%w: %s has a certificate of this CA but no record here: invite it anew with "ambassador invite %s"`, ErrUnknownClient, id, id.Name)
	case !r.admits(cert):
		return ClientRecord{}, fmt.Errorf(`%w: %s, certificate %s: to take it back, run "ambassador invite %s"`, ErrRevoked, id, serialNumber(cert), id.Name)
	}
	return r, nil
}

// admits says whether a certificate of the client counts. After a revocation
// those do that are recorded, and those issued later: they may be missing in a
// state directory that was restored.
func (r ClientRecord) admits(cert *x509.Certificate) bool {
	if r.Revoked || r.RevokedAt.IsZero() {
		return !r.Revoked
	}
	serial := serialNumber(cert)
	listed := slices.ContainsFunc(r.Certificates, func(c IssuedCertificate) bool { return c.Serial == serial })
	return listed || cert.NotBefore.Add(backdate).After(r.RevokedAt)
}

// Grant is the links of an identity. It is false for one that is no client of
// this CA, or is revoked.
func (ca *CA) Grant(identity string) (links []string, ok bool, err error) {
	id, err := ParseIdentity(identity)
	if err != nil || id.TrustDomain != ca.trustDomain || id.Role != RoleClient {
		return nil, false, nil // whoever it is, it was not issued here
	}
	r, ok, err := ca.record(id)
	if r.Revoked {
		return nil, false, err
	}
	return r.Links, ok, err
}

// AddLinks adds links to a client's grant and returns the whole of it. The
// errors are ErrName, ErrUnknownClient, ErrRevoked, and those of files.
func (ca *CA) AddLinks(name string, links []string) ([]string, error) {
	if err := checkLinks(links); err != nil {
		return nil, err
	}
	return ca.changeGrant(name, func(have []string) ([]string, error) {
		all := sorted(append(slices.Clone(have), links...))
		return all, checkLinks(all) // for their number
	})
}

// WithdrawLinks takes links from a client's grant and returns what is left of
// it. One that is not in the grant is ErrNotGranted, and then nothing is
// changed. The other errors are those of [CA.AddLinks].
func (ca *CA) WithdrawLinks(name string, links []string) ([]string, error) {
	return ca.changeGrant(name, func(have []string) ([]string, error) {
		left := slices.Clone(have)
		for _, l := range links {
			i := slices.Index(left, l)
			switch {
			case i >= 0:
				left = slices.Delete(left, i, i+1)
			case slices.Contains(have, EveryLink):
				return nil, fmt.Errorf(`%w: %s may use every link, and one cannot be taken from that: run "ambassador grant %s LINK..." with those that it keeps, then "ambassador revoke %s '*'"`, ErrNotGranted, name, name, name)
			default:
				return nil, fmt.Errorf("%w: %s may not use %q: its links are %s", ErrNotGranted, name, l, listed(have))
			}
		}
		return left, nil
	})
}

func listed(links []string) string {
	if len(links) == 0 {
		return "none"
	}
	return strings.Join(links, ", ")
}

func (ca *CA) changeGrant(name string, change func([]string) ([]string, error)) (links []string, err error) {
	err = ca.locked(func(ca *CA) error {
		r, err := ca.client(name)
		if errors.Is(err, ErrUnknownClient) {
			return cmp.Or(ca.yetToCome(name), err)
		}
		if err != nil {
			return err
		}
		if r.Revoked {
			return fmt.Errorf(`%w: %s: to take it back, run "ambassador invite %s"`, ErrRevoked, name, name)
		}
		links, err = change(r.Links)
		if err != nil || slices.Equal(links, r.Links) {
			return err
		}
		r.Links = links
		r.Changes++
		return ca.writeRecord(r)
	})
	return links, err
}

// yetToCome is the error about a client that was invited and has no grant yet
// that could be changed; nil if it was not invited.
func (ca *CA) yetToCome(name string) error {
	open, _ := ca.openInvitations() // what cannot be read says nothing of this client
	for id, f := range open {
		if f.public(id).Name() == name {
			return fmt.Errorf(`%w: %s is invited and has not come yet: take its invitation back with "ambassador invite revoke %s" and invite it with the links that it is to have`, ErrUnknownClient, name, id)
		}
	}
	return nil
}

// client is the record of a client that there has to be.
func (ca *CA) client(name string) (ClientRecord, error) {
	if err := CheckName(name); err != nil {
		return ClientRecord{}, err
	}
	r, ok, err := ca.record(Identity{ca.trustDomain, RoleClient, name})
	if err == nil && !ok {
		err = fmt.Errorf(`%w: there is no client %s: see "ambassador certs list"`, ErrUnknownClient, name)
	}
	return r, err
}

// Revoke takes a client's certificates and its open invitations away. Only a new
// invitation, or a certificate by [CA.Issue], brings it back, with the grant
// that it had; what it holds now counts no more even then. To revoke again takes
// invitations away. The errors are ErrName, ErrUnknownClient and those of files;
// an invitation that cannot be read or removed stands in the way of nothing
// else, and the error says that the client is revoked.
func (ca *CA) Revoke(name string) error {
	return ca.locked(func(ca *CA) error {
		r, err := ca.client(name)
		switch {
		case errors.Is(err, ErrUnknownClient):
			// It may have been invited and not have come yet.
			n, errCancel := ca.cancelInvitations(name)
			if n > 0 {
				return unsettled(fmt.Sprintf("the invitations of %s are taken back", name), errCancel)
			}
			return errors.Join(err, errCancel)
		case err != nil:
			return err
		}
		// The client goes first: whatever is wrong with an invitation, this counts,
		// and those from before are good no more, whether they are there or not.
		if !r.Revoked {
			if err := ca.writeRecord(r.revoked(ca.now().UTC())); err != nil {
				return err
			}
		}
		_, err = ca.cancelInvitations(name)
		return unsettled(name+" is revoked", err)
	})
}

// unsettled says of an invitation's trouble what was done in spite of it.
func unsettled(done string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s, but an invitation could not be looked at or taken back: %w", done, err)
}

func (r ClientRecord) revoked(now time.Time) ClientRecord {
	r.Revoked, r.RevokedAt = true, now
	r.Revocations++
	for _, c := range r.Certificates {
		// A clock that was set back does not save what was issued before.
		if issued := c.NotBefore.Add(backdate); issued.After(r.RevokedAt) {
			r.RevokedAt = issued
		}
	}
	r.Certificates = []IssuedCertificate{}
	return r
}
