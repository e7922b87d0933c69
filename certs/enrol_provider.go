package certs

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Enrolment is a certificate that an [Enroller] gave.
type Enrolment struct {
	Identity   string
	Invitation string // its id; empty for a renewal
	Links      []string
	Serial     string // hex
	NotAfter   time.Time
	// Peer is the other side's address.
	Peer string
}

// Enroller is the provider's side of [EnrolProtocol]. Set the fields before use
// and do not change them. Methods may be called by several goroutines at once.
type Enroller struct {
	// CA and Credentials must be set: who signs, and what is presented.
	CA          *CA
	Credentials *Credentials
	// Report is told of each certificate. If nil, nobody is.
	Report func(Enrolment)

	pace    pacer      // of strangers
	known   pacer      // of those who have shown a secret or a certificate
	signing sync.Mutex // one at a time waits for the CA's lock
}

// TLSConfig is for handshakes that agree on [EnrolProtocol], and no others:
// unlike [Credentials.ServerConfig] it takes clients without a certificate, as
// long as an invitation is open.
func (e *Enroller) TLSConfig() *tls.Config {
	config := baseConfig()
	config.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { return e.config(), nil }
	return config
}

func (e *Enroller) config() *tls.Config {
	m := e.Credentials.current.Load()
	config := baseConfig()
	config.NextProtos = []string{EnrolProtocol}
	config.ClientCAs = m.roots
	config.ClientAuth = tls.RequireAndVerifyClientCert
	if e.CA.invites() {
		config.ClientAuth = tls.VerifyClientCertIfGiven
	}
	config.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		cert, err := e.Credentials.present()
		if err != nil {
			return nil, err
		}
		// A new client knows the root by its hash alone.
		with := *cert
		with.Certificate = append(append([][]byte{}, cert.Certificate...), rawOf(m.rootList)...)
		return &with, nil
	}
	config.VerifyConnection = func(cs tls.ConnectionState) error {
		if len(cs.PeerCertificates) == 0 {
			return nil
		}
		return e.Credentials.checkPeer(cs, RoleClient)
	}
	return config
}

// Serve answers one request on a connection whose handshake is done, and leaves
// the connection open. It returns why it gave no certificate, in words for the
// provider's log. Bound its time by closing the connection when ctx ends.
func (e *Enroller) Serve(ctx context.Context, conn *tls.Conn) error {
	var request enrolRequest
	if err := readMessage(conn, maxEnrolRequest, &request); err != nil {
		return fmt.Errorf("%w: %w", ErrRequest, err)
	}
	defer clear(request.Secret)
	from := conn.RemoteAddr().String()
	answer, given, err := e.answer(ctx, from, conn.ConnectionState().PeerCertificates, request)
	if err != nil {
		return errors.Join(err, writeMessage(conn, refusalOf(err)))
	}
	if e.Report != nil {
		e.Report(given)
	}
	if err := writeMessage(conn, answer); err != nil {
		return fmt.Errorf("answer to %s: %w", given.Identity, err)
	}
	return nil
}

// paceOf is what holds a request back. Who shows an invitation's secret, or a
// certificate, is not held back by strangers behind the same address.
func (e *Enroller) paceOf(from string, holder []*x509.Certificate, request enrolRequest) (_ *pacer, who string) {
	switch {
	case request.Invitation == "" && len(holder) > 0:
		return &e.known, nameOf(holder[0])
	case e.CA.invited(request.Invitation, request.Secret):
		return &e.known, "invitation " + request.Invitation
	}
	return &e.pace, host(from)
}

func (e *Enroller) answer(ctx context.Context, from string, holder []*x509.Certificate, request enrolRequest) (enrolAnswer, Enrolment, error) {
	fail := func(err error) (enrolAnswer, Enrolment, error) { return enrolAnswer{}, Enrolment{}, err }
	csr, err := parseRequest(request.Request)
	if err != nil {
		return fail(err)
	}
	if pace, who := e.paceOf(from, holder, request); !pace.allow(who) {
		return fail(fmt.Errorf("%w: from %s", ErrBusy, who))
	}
	e.signing.Lock()
	defer e.signing.Unlock()
	if err := ctx.Err(); err != nil {
		return fail(err) // nobody is there to take it
	}
	var l *leaf
	var r ClientRecord
	switch {
	case request.Invitation != "":
		l, r, err = e.CA.With(ctx).redeem(request.Invitation, request.Secret, csr)
	case len(holder) > 0:
		l, r, err = e.CA.With(ctx).renewFor(holder[0], csr)
	default:
		err = fmt.Errorf("%w: neither an invitation nor a certificate", ErrRequest)
	}
	if err != nil {
		return fail(err)
	}
	given := Enrolment{
		Identity: r.Identity, Invitation: request.Invitation, Links: r.Links,
		Serial: serialNumber(l.cert), NotAfter: l.cert.NotAfter, Peer: from,
	}
	return enrolAnswer{Chain: rawOf(l.chain), Roots: rawOf(l.roots), Links: r.Links}, given, nil
}
