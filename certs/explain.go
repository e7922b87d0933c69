package certs

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"reflect"
	"time"
)

// The alerts by which a provider says why it refuses a client (RFC 8446 §6.2,
// RFC 7301 §3.2 for the last). crypto/tls has no names for them.
const (
	alertHandshakeFailure    tls.AlertError = 40
	alertBadCertificate      tls.AlertError = 42
	alertUnsupported         tls.AlertError = 43
	alertRevoked             tls.AlertError = 44
	alertExpired             tls.AlertError = 45
	alertUnknownCertificate  tls.AlertError = 46
	alertUnknownCA           tls.AlertError = 48
	alertAccessDenied        tls.AlertError = 49
	alertProtocolVersion     tls.AlertError = 70
	alertInternalError       tls.AlertError = 80
	alertCertificateRequired tls.AlertError = 116
	alertNoProtocol          tls.AlertError = 120
)

// Explain turns what a client's handshake or first read failed with into one
// line for a person: what is wrong, on which side, and what to do. Errors that
// are not of TLS or certificates come back as their own text.
func Explain(err error) string {
	if err == nil {
		return ""
	}
	// Our own files first: their line says it all.
	if file := (*FileError)(nil); errors.As(err, &file) {
		return file.Error()
	}
	for _, explain := range []func(error) string{explainEnrolment, explainAlert, explainIdentity, explainVerify, explainRecord} {
		if line := explain(err); line != "" {
			return line
		}
	}
	return err.Error()
}

func explainEnrolment(err error) string {
	const anew = `: run "ambassador invite NAME" on the provider's host for a new one`
	invalid := x509.CertificateInvalidError{}
	switch {
	case errors.Is(err, ErrProvider) && errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return explainInvalid(invalid) // it may well be the provider, and this host's clock be wrong
	case errors.Is(err, ErrProvider):
		return fmt.Sprintf("the other side is not the provider of this token (%v), and it was not shown the secret: check host and port, and that the token is of this provider", verifyCause(err))
	case errors.Is(err, ErrInvitation):
		return "the provider refuses the token: it was used, has expired or was taken back" + anew
	case errors.Is(err, ErrRevoked):
		return "the provider has revoked our certificate: " + hintIssue
	case errors.Is(err, ErrUnknownClient):
		return "the provider does not know this client any more: " + hintIssue
	}
	return ""
}

// alertOf finds the alert that the peer sent. crypto/tls has it as a value of
// its unexported twin of AlertError in a net.OpError.
func alertOf(err error) (tls.AlertError, bool) {
	op := (*net.OpError)(nil)
	if !errors.As(err, &op) || op.Err == nil {
		return 0, false
	}
	v := reflect.ValueOf(op.Err)
	if v.Kind() != reflect.Uint8 || v.Type().PkgPath() != reflect.TypeFor[tls.AlertError]().PkgPath() {
		return 0, false
	}
	return tls.AlertError(v.Uint()), true
}

func explainAlert(err error) string {
	alert, ok := alertOf(err)
	if !ok {
		return ""
	}
	switch alert {
	case alertUnknownCA:
		return "the provider does not know the CA of our certificate: " + hintIssue
	case alertExpired:
		return "the provider finds our certificate expired, or its clock is wrong: check the clock there, or " + hintIssue
	case alertCertificateRequired:
		return "the provider wants a certificate and got none: " + hintIssue
	case alertBadCertificate, alertUnsupported, alertUnknownCertificate, alertAccessDenied:
		return "the provider refuses our certificate (a provider's, not yet valid there, or of another trust domain): " + hintIssue
	case alertRevoked:
		return "the provider has revoked our certificate: " + hintIssue
	case alertProtocolVersion, alertHandshakeFailure:
		return "the other side does not speak TLS 1.3: check that host and port are an ambassador's"
	case alertNoProtocol:
		return "the other side speaks TLS but is no ambassador, or of an incompatible version: check host and port, and the versions on both sides"
	case alertInternalError:
		return "the provider could not do the handshake: see its log"
	}
	return fmt.Sprintf("the provider ended the handshake (%v): see its log", alert)
}

func explainIdentity(err error) string {
	const foreign = ": check that host and port are the provider's"
	switch {
	case errors.Is(err, ErrWrongRole), errors.Is(err, ErrTrustDomain), errors.Is(err, ErrNoIdentity):
		return fmt.Sprintf("the other side is not our provider (%v)%s", verifyCause(err), foreign)
	}
	return ""
}

// verifyCause is what is wrong with a peer's certificate, without crypto/tls's
// prefix.
func verifyCause(err error) error {
	if failed := (*tls.CertificateVerificationError)(nil); errors.As(err, &failed) {
		return failed.Err
	}
	return err
}

func explainVerify(err error) string {
	var (
		unknown x509.UnknownAuthorityError
		host    x509.HostnameError
		invalid x509.CertificateInvalidError
	)
	switch {
	case errors.As(err, &unknown):
		return "the provider's certificate is of another CA than ours: check that host and port are the provider's; if its CA was made anew, " + hintIssue
	case errors.As(err, &host):
		return fmt.Sprintf("the provider's certificate is for another host (%v): use the name that it is for", host)
	case errors.As(err, &invalid):
		return explainInvalid(invalid)
	}
	return ""
}

func explainInvalid(err x509.CertificateInvalidError) string {
	switch err.Reason {
	case x509.Expired:
		if err.Cert != nil && time.Now().Before(err.Cert.NotBefore) {
			return "the provider's certificate is not valid before " + date(err.Cert.NotBefore) + ": set this host's clock, which says " + date(time.Now())
		}
		if err.Cert != nil {
			return "the provider's certificate has expired on " + date(err.Cert.NotAfter) + `: restart "ambassador serve" there, which makes a new one, or set this host's clock`
		}
	case x509.IncompatibleUsage:
		return "the other side's certificate is not a provider's: check that host and port are the provider's"
	}
	return fmt.Sprintf("the provider's certificate is not acceptable (%v): make a new one there", err)
}

func explainRecord(err error) string {
	if record := (tls.RecordHeaderError{}); errors.As(err, &record) {
		return "the other side does not speak TLS: check that host and port are an ambassador's"
	}
	return ""
}
