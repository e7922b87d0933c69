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

// Explanation is what a client's handshake or first read failed with, for a
// person.
type Explanation struct {
	About   Subject
	Problem string // what is wrong, and on which side
	Fix     string // what to do; may be empty
}

// Subject is what an [Explanation] is about.
type Subject string

// The subjects there are.
const (
	AboutFile       Subject = "file"       // one of our own files
	AboutProtocol   Subject = "protocol"   // the other side is no ambassador, or speaks another version
	AboutProvider   Subject = "provider"   // the other side's certificate is not our provider's
	AboutExpiry     Subject = "expiry"     // the provider's certificate has expired
	AboutClock      Subject = "clock"      // one of the two clocks is wrong, or may be
	AboutAdmission  Subject = "admission"  // the provider does not want our certificate
	AboutInvitation Subject = "invitation" // the provider does not want our token
	AboutOther      Subject = "other"      // nothing of TLS or certificates
)

// String is both in one line.
func (e Explanation) String() string {
	if e.Fix == "" {
		return e.Problem
	}
	return e.Problem + ": " + e.Fix
}

// Explain turns what a client's handshake or first read failed with into one
// line for a person: what is wrong, on which side, and what to do. Errors that
// are not of TLS or certificates come back as their own text.
func Explain(err error) string {
	if err == nil {
		return ""
	}
	return Diagnose(err).String()
}

// Diagnose is [Explain] with its parts. The error must not be nil.
func Diagnose(err error) Explanation {
	// Our own files first: their line says it all.
	if file := (*FileError)(nil); errors.As(err, &file) {
		return Explanation{AboutFile, file.File + " " + file.Problem, file.Hint}
	}
	for _, explain := range []func(error) Explanation{explainEnrolment, explainAlert, explainIdentity, explainVerify, explainRecord} {
		if e := explain(err); e.Problem != "" {
			return e
		}
	}
	return Explanation{AboutOther, err.Error(), ""}
}

func explainEnrolment(err error) Explanation {
	invalid := x509.CertificateInvalidError{}
	switch {
	case errors.Is(err, ErrProvider) && errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return explainInvalid(invalid) // it may well be the provider, and this host's clock be wrong
	case errors.Is(err, ErrProvider):
		return Explanation{AboutProvider, fmt.Sprintf("the other side is not the provider of this token (%v), and it was not shown the secret", verifyCause(err)), "check host and port, and that the token is of this provider"}
	case errors.Is(err, ErrInvitation):
		return Explanation{AboutInvitation, "the provider refuses the token: it was used, has expired or was taken back", `run "ambassador invite NAME" on the provider's host for a new one`}
	case errors.Is(err, ErrRevoked):
		return revoked
	case errors.Is(err, ErrUnknownClient):
		return Explanation{AboutAdmission, "the provider does not know this client any more", hintIssue}
	}
	return Explanation{}
}

var revoked = Explanation{AboutAdmission, "the provider has revoked our certificate", hintIssue}

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

func explainAlert(err error) Explanation {
	alert, ok := alertOf(err)
	if !ok {
		return Explanation{}
	}
	switch alert {
	case alertUnknownCA:
		return Explanation{AboutAdmission, "the provider does not know the CA of our certificate", hintIssue}
	case alertExpired:
		return Explanation{AboutClock, "the provider finds our certificate expired, or its clock is wrong", "check the clock there, or " + hintIssue}
	case alertCertificateRequired:
		return Explanation{AboutAdmission, "the provider wants a certificate and got none", hintIssue}
	case alertBadCertificate, alertUnsupported, alertUnknownCertificate, alertAccessDenied:
		return Explanation{AboutAdmission, "the provider refuses our certificate (a provider's, not yet valid there, or of another trust domain)", hintIssue}
	case alertRevoked:
		return revoked
	case alertProtocolVersion, alertHandshakeFailure:
		return Explanation{AboutProtocol, "the other side does not speak TLS 1.3", "check that host and port are an ambassador's"}
	case alertNoProtocol:
		return Explanation{AboutProtocol, "the other side speaks TLS but is no ambassador, or of an incompatible version", "check host and port, and the versions on both sides"}
	case alertInternalError:
		return Explanation{AboutAdmission, "the provider could not do the handshake", "see its log"}
	}
	return Explanation{AboutAdmission, fmt.Sprintf("the provider ended the handshake (%v)", alert), "see its log"}
}

func explainIdentity(err error) Explanation {
	switch {
	case errors.Is(err, ErrWrongRole), errors.Is(err, ErrTrustDomain), errors.Is(err, ErrNoIdentity):
		return Explanation{AboutProvider, fmt.Sprintf("the other side is not our provider (%v)", verifyCause(err)), "check that host and port are the provider's"}
	}
	return Explanation{}
}

// verifyCause is what is wrong with a peer's certificate, without crypto/tls's
// prefix.
func verifyCause(err error) error {
	if failed := (*tls.CertificateVerificationError)(nil); errors.As(err, &failed) {
		return failed.Err
	}
	return err
}

func explainVerify(err error) Explanation {
	var (
		unknown x509.UnknownAuthorityError
		host    x509.HostnameError
		invalid x509.CertificateInvalidError
	)
	switch {
	case errors.As(err, &unknown):
		return Explanation{AboutProvider, "the provider's certificate is of another CA than ours", "check that host and port are the provider's; if its CA was made anew, " + hintIssue}
	case errors.As(err, &host):
		return Explanation{AboutProvider, fmt.Sprintf("the provider's certificate is for another host (%v)", host), "use the name that it is for"}
	case errors.As(err, &invalid):
		return explainInvalid(invalid)
	}
	return Explanation{}
}

func explainInvalid(err x509.CertificateInvalidError) Explanation {
	switch err.Reason {
	case x509.Expired:
		if err.Cert != nil && time.Now().Before(err.Cert.NotBefore) {
			return Explanation{AboutClock, "the provider's certificate is not valid before " + date(err.Cert.NotBefore), "set this host's clock, which says " + date(time.Now())}
		}
		if err.Cert != nil {
			return Explanation{AboutExpiry, "the provider's certificate has expired on " + date(err.Cert.NotAfter), `restart "ambassador serve" there, which makes a new one, or set this host's clock`}
		}
	case x509.IncompatibleUsage:
		return Explanation{AboutProvider, "the other side's certificate is not a provider's", "check that host and port are the provider's"}
	}
	return Explanation{AboutProvider, fmt.Sprintf("the provider's certificate is not acceptable (%v)", err), "make a new one there"}
}

func explainRecord(err error) Explanation {
	if record := (tls.RecordHeaderError{}); errors.As(err, &record) {
		return Explanation{AboutProtocol, "the other side does not speak TLS", "check that host and port are an ambassador's"}
	}
	return Explanation{}
}
