package certs

import (
	"crypto/x509"
	"time"
)

// Authority is a CA certificate that a side's own certificate rests on.
type Authority struct {
	Kind     string // issuer or root
	NotAfter time.Time
	// Renews is when the CA is to renew it: the zero time for one that is not of
	// a private CA.
	Renews time.Time
}

// Authorities are the newest issuer and the newest root of the certificate in use:
// with another CA's there may be no issuer.
func (c *Credentials) Authorities() []Authority {
	m := c.current.Load()
	var all []Authority
	add := func(kind string, from []*x509.Certificate, early time.Duration) {
		if len(from) == 0 {
			return
		}
		a := Authority{Kind: kind, NotAfter: from[0].NotAfter}
		if m.private {
			a.Renews = a.NotAfter.Add(-early)
		}
		all = append(all, a)
	}
	add("issuer", m.issuers, issuerRenewal)
	add("root", m.rootList, rootRenewal)
	return all
}
