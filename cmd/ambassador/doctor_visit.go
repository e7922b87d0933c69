package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"time"

	"ambassador/certs"
	"ambassador/client"
)

// call makes a session, says hello, and leads through what comes back. It closes
// the connection when it returns nil.
func (d *diagnosis) call(ctx context.Context, conn net.Conn, host string, own *certs.Credentials) *client.Visit {
	d.show.waiting("%s: speaking with %s", checkTLS, conn.RemoteAddr())
	config := own.ClientConfig(host)
	verify := config.VerifyConnection
	var seen *tls.ConnectionState // what the provider showed, whether or not it is good
	config.VerifyConnection = func(cs tls.ConnectionState) error {
		seen = &cs
		return verify(cs)
	}
	began := time.Now()
	v, err := client.Call(ctx, conn, config, buildVersion())
	switch {
	case seen == nil:
		d.noTLS(err)
		return nil
	case seen.NegotiatedProtocol != client.Protocol:
		d.stranger(*seen)
		if v != nil {
			v.Close()
		}
		return nil
	}
	d.ok(checkTLS, "", "TLS 1.3, %s, in %s", client.Protocol, brief(time.Since(began)))
	if !d.providerCertificate(*seen, err) {
		return nil
	}
	if err != nil {
		d.notAdmitted(err, own)
		return nil
	}
	d.clock(v)
	identity, _ := own.Identity() // was checked when it was loaded
	d.ok(checkAdmission, "", "the provider (version %s) lets %s in", v.Version, identity)
	return v
}

// knock does what can be done without a certificate of our own.
func (d *diagnosis) knock(ctx context.Context, conn net.Conn) {
	d.show.waiting("%s: speaking with %s", checkTLS, conn.RemoteAddr())
	cs, err := client.Knock(ctx, conn)
	switch {
	case err != nil:
		d.noTLS(err)
	case cs.NegotiatedProtocol != client.Protocol:
		d.stranger(cs)
	default:
		d.ok(checkTLS, "", "an ambassador answers; who it is cannot be told without a certificate of our own")
	}
}

const checkAddress = "check that host and port are those of an \"ambassador serve\""

// noTLS is about a handshake in which the other side showed no certificate.
func (d *diagnosis) noTLS(err error) {
	if record := (tls.RecordHeaderError{}); errors.As(err, &record) {
		d.fail(checkTLS, "", "the other side does not speak TLS: "+spokenBy(record.RecordHeader[:]), checkAddress)
		return
	}
	e := certs.Diagnose(err)
	switch {
	case e.About != certs.AboutOther:
		d.fail(checkTLS, "", e.Problem, e.Fix)
	case timedOut(err):
		d.fail(checkTLS, "", fmt.Sprintf("the other side takes the connection and says nothing within %v", 2*stepWithin), checkAddress+", that it is not stopped or overloaded, and that no proxy stands in between")
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		d.fail(checkTLS, "", "the other side closes the connection before it has said who it is", checkAddress+", and see its log: it may have as many connections as it takes")
	default:
		d.fail(checkTLS, "", "the handshake failed: "+e.Problem, checkAddress)
	}
}

// spokenBy guesses a service from the first five bytes that it says.
func spokenBy(first []byte) string {
	switch said := string(first); {
	case strings.HasPrefix(said, "SSH-"):
		return "it is an SSH server"
	case strings.HasPrefix(said, "HTTP"):
		return "it is a web server without TLS"
	case strings.HasPrefix(said, "-ERR"):
		return "it looks like Redis"
	case strings.HasPrefix(said, "220"):
		return "it looks like a mail or FTP server"
	default:
		return fmt.Sprintf("it begins with %q", said)
	}
}

// stranger is one who speaks TLS, but not our protocol.
func (d *diagnosis) stranger(cs tls.ConnectionState) {
	who := "nobody"
	if len(cs.PeerCertificates) > 0 {
		who = cs.PeerCertificates[0].Subject.String()
		if names := certs.PeerNames(cs); len(names) > 0 {
			who = names[0]
		}
	}
	d.fail(checkTLS, "", fmt.Sprintf("the other side speaks TLS but is no ambassador: its certificate is for %q", who), checkAddress+", and that no proxy which ends TLS stands in between")
}

// providerCertificate checks what the provider showed. err is how the session
// ended, nil if it did not.
func (d *diagnosis) providerCertificate(cs tls.ConnectionState, err error) bool {
	refusedByUs := (*tls.CertificateVerificationError)(nil)
	bad := errors.As(err, &refusedByUs)
	e := certs.Explanation{}
	if bad {
		e = certs.Diagnose(err)
	}
	name, errName := certs.PeerIdentity(cs)
	if errName != nil {
		name = cs.PeerCertificates[0].Subject.String()
	}
	switch {
	case bad && e.About == certs.AboutClock:
		d.fail(checkClock, "", e.Problem, e.Fix+"; or the provider's clock is ahead")
		return false
	case bad && e.About == certs.AboutExpiry:
		d.fail(checkProviderExpiry, "", e.Problem, e.Fix)
		return false
	case bad:
		d.fail(checkProviderCertificate, "", fmt.Sprintf("%s (it showed %s)", e.Problem, name), e.Fix)
		return false
	}
	d.ok(checkProviderCertificate, "", "it is %s, of our CA", name)
	cert := cs.PeerCertificates[0]
	left := time.Until(cert.NotAfter)
	if left > cert.NotAfter.Sub(cert.NotBefore)/tellExpiry {
		d.ok(checkProviderExpiry, "", "good until %s, for %s", day(cert.NotAfter), long(left))
	} else {
		d.warn(checkProviderExpiry, "", fmt.Sprintf("good until %s, for no more than %s", day(cert.NotAfter), long(left)), `"ambassador serve" renews it by itself: see in its log why it did not`)
	}
	return true
}

// notAdmitted is about a provider that is the right one, and does not take us.
func (d *diagnosis) notAdmitted(err error, own *certs.Credentials) {
	e := certs.Diagnose(err)
	denied := (*client.DeniedError)(nil)
	switch {
	case errors.As(err, &denied) && !own.Private():
		d.fail(checkAdmission, "", "the provider refuses this client: "+denied.Reason, d.grantFix(own, "LINK"))
	case errors.As(err, &denied):
		d.fail(checkAdmission, "", "the provider refuses this client: "+denied.Reason, `run "ambassador invite NAME" on the provider's host and pass the token with --join`)
	case e.About == certs.AboutClock:
		d.fail(checkClock, "", fmt.Sprintf("the provider finds our certificate out of its time, and by this host's clock (%s) it is good", day(time.Now())), "set the clocks of both hosts: one of them is wrong")
	case e.About == certs.AboutAdmission:
		d.fail(checkAdmission, "", e.Problem, e.Fix)
	case timedOut(err):
		d.fail(checkAdmission, "", fmt.Sprintf("the provider says nothing within %v after the handshake", 2*stepWithin), "see the provider's log: it may be stopped, or overloaded")
	default:
		d.fail(checkAdmission, "", "the provider ended the session before it let this client in: "+e.Problem, "see the provider's log: it may be shutting down")
	}
}

// apart is how far the clocks may be from each other before it is told. New
// certificates are dated back by more than that.
const apart = time.Minute

// clock compares the two hosts' clocks, as far as the way to the provider lets
// tell.
func (d *diagnosis) clock(v *client.Visit) {
	if v.Time.IsZero() {
		d.ok(checkClock, "", "both certificates are in their time; this version of the provider does not tell its own")
		return
	}
	doubt := v.Heard.Sub(v.Asked) / 2
	skew := v.Time.Sub(v.Asked.Add(doubt).Round(0)) // the wall clock: theirs has no other
	if max(skew, -skew) <= apart+doubt {
		d.ok(checkClock, "", "within %s of the provider's", brief(max(skew, -skew)+doubt))
		return
	}
	which := "behind"
	if skew < 0 {
		which = "ahead of"
	}
	d.warn(checkClock, "", fmt.Sprintf("this host's clock is %s %s the provider's", long(max(skew, -skew)), which), "keep both clocks right by NTP: a certificate is refused outside of its time")
}
