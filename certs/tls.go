package certs

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"time"
)

// ServerConfig is the provider's side of TLS with the certificate of f, which is
// not read again: TLS 1.3 only, clients' certificates required and verified, no
// session tickets. ALPN is the carrier's to set. With a private CA a peer must
// have a client's identity of the same trust domain.
//
// The errors are those of [Load].
func ServerConfig(f Files) (*tls.Config, error) {
	c, err := Load(f, RoleProvider)
	if err != nil {
		return nil, err
	}
	return c.ServerConfig(), nil
}

// ClientConfig is the client's side, as ServerConfig is the provider's.
//
// With a private CA the provider must have a provider's identity of our trust
// domain, and its host may go by any name: nothing but that CA can have made
// such a certificate. With another CA's files its certificate must be for
// serverName, the host that the user wrote: a CA with many customers makes
// certificates for all of them. Which of the two holds is decided by our own
// files alone, never by what a peer presents; see [Credentials.Private].
//
// The errors are those of [Load]. The serverName must not be empty.
func ClientConfig(f Files, serverName string) (*tls.Config, error) {
	if serverName == "" {
		return nil, errors.New("no name to verify the provider by")
	}
	c, err := Load(f, RoleClient)
	if err != nil {
		return nil, err
	}
	return c.ClientConfig(serverName), nil
}

func baseConfig() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		MaxVersion: tls.VersionTLS13,
		// A resumed session would outlive what its certificate allowed.
		SessionTicketsDisabled: true,
	}
}

// ServerConfig is [ServerConfig] with these credentials, as a reload leaves
// them.
func (c *Credentials) ServerConfig() *tls.Config {
	config := baseConfig()
	config.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { return c.serverConfig(), nil }
	// Not used, but whoever looks at this config is to find the rule in it.
	config.ClientAuth = tls.RequireAndVerifyClientCert
	return config
}

// serverConfig is for one handshake.
func (c *Credentials) serverConfig() *tls.Config {
	m := c.current.Load()
	config := baseConfig()
	config.ClientAuth = tls.RequireAndVerifyClientCert // with EKU clientAuth
	config.ClientCAs = m.roots
	config.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return c.present() }
	if m.private {
		// Not VerifyPeerCertificate: a resumption would skip it.
		config.VerifyConnection = func(cs tls.ConnectionState) error { return c.checkPeer(cs, RoleClient) }
	}
	return config
}

// ClientConfig is [ClientConfig] with these credentials, as a reload leaves
// them.
func (c *Credentials) ClientConfig(serverName string) *tls.Config {
	config := baseConfig()
	config.ServerName = serverName
	config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return c.present() }
	// This turns off crypto/tls's verification, which can neither leave out the
	// host name alone nor follow a reload. verifyProvider does all of it.
	config.InsecureSkipVerify = true
	config.VerifyConnection = func(cs tls.ConnectionState) error { return c.verifyProvider(cs, serverName) }
	return config
}

// present is our certificate for a handshake. One that ran out while we ran is
// better told here, by its file's name, than by the peer's alert.
func (c *Credentials) present() (*tls.Certificate, error) {
	m := c.current.Load()
	if err := checkTime(c.files, m.leaf.Leaf, c.role, time.Now()); err != nil {
		return nil, err
	}
	return &m.leaf, nil
}

// verifyProvider verifies a provider: chain, time and usage, and under a private
// CA its identity, otherwise its host name.
func (c *Credentials) verifyProvider(cs tls.ConnectionState, serverName string) error {
	if len(cs.PeerCertificates) == 0 {
		return ErrNoIdentity // cannot be: TLS servers always present one
	}
	m := c.current.Load()
	options := x509.VerifyOptions{
		Roots:         m.roots,
		Intermediates: poolOf(cs.PeerCertificates[1:]),
		KeyUsages:     []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if !m.private {
		options.DNSName = serverName
	}
	if _, err := cs.PeerCertificates[0].Verify(options); err != nil {
		return &tls.CertificateVerificationError{UnverifiedCertificates: cs.PeerCertificates, Err: err}
	}
	if !m.private {
		return nil
	}
	return c.checkPeer(cs, RoleProvider)
}

// checkPeer checks the identity in a certificate that has been verified under a
// private CA.
func (c *Credentials) checkPeer(cs tls.ConnectionState, role Role) error {
	self := c.current.Load().self
	id, ok := identityOf(cs.PeerCertificates[0])
	var err error
	switch {
	case !ok:
		err = fmt.Errorf("%w: expected one URI of a %s", ErrNoIdentity, role)
	case id.Role != role:
		err = fmt.Errorf("%w: the peer is %s, expected a %s", ErrWrongRole, id, role)
	case id.TrustDomain != self.TrustDomain:
		err = fmt.Errorf("%w: the peer is %s, expected one of %s", ErrTrustDomain, id, self.TrustDomain)
	default:
		return nil
	}
	return &tls.CertificateVerificationError{UnverifiedCertificates: cs.PeerCertificates, Err: err}
}

// PeerIdentity is who the peer of a finished handshake is: the URI of its
// certificate, or with another CA's certificates, the first URI, else the first
// DNS name. The error is ErrNoIdentity.
//
// It believes the certificate: call it for connections of a config of this
// package, which has verified it. That a string looks like an [Identity] means
// something only if our own certificate is of the private CA; see
// [Credentials.Private].
func PeerIdentity(cs tls.ConnectionState) (string, error) {
	if len(cs.PeerCertificates) == 0 {
		return "", ErrNoIdentity
	}
	return peerName(cs.PeerCertificates[0])
}

func peerName(cert *x509.Certificate) (string, error) {
	switch {
	case len(cert.URIs) > 0:
		return cert.URIs[0].String(), nil
	case len(cert.DNSNames) > 0:
		return cert.DNSNames[0], nil
	}
	return "", ErrNoIdentity
}

// PeerNames are all URIs and DNS names of a peer's certificate; see
// [PeerIdentity].
func PeerNames(cs tls.ConnectionState) []string {
	var names []string
	if len(cs.PeerCertificates) > 0 {
		for _, uri := range cs.PeerCertificates[0].URIs {
			names = append(names, uri.String())
		}
		names = append(names, cs.PeerCertificates[0].DNSNames...)
	}
	return names
}
