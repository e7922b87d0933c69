package certs

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
)

// EnrolProtocol is the ALPN name of enrolment: an invitation's redemption, and
// the renewal of a certificate. It is one request and one answer, each a JSON
// value:
//
//	client                              provider
//	TLS 1.3 handshake; with a certificate only to renew it
//	{"invitation":ID,"secret":…,"request":PKCS #10}  →
//	                                    ←  {"chain":[…],"roots":[…],"links":[…]}
//	{"request":PKCS #10}                →
//	                                    ←  {"error":CODE,"reason":TEXT}
const EnrolProtocol = "ambassador-enrol/1"

// What the messages may have, in bytes. A request is 0.5 KB, an answer with two
// roots 4 KB and up to 1000 links of 63 bytes.
const (
	maxEnrolRequest = 16 << 10
	maxEnrolAnswer  = 256 << 10
)

// enrolTimeout bounds one exchange, the dial included.
const enrolTimeout = 20 * time.Second

// enrolRequest asks for a certificate.
type enrolRequest struct {
	Invitation string `json:"invitation,omitempty"` // empty: renew the handshake's certificate
	Secret     []byte `json:"secret,omitempty"`
	Request    []byte `json:"request"` // DER
}

// enrolAnswer is a certificate, or why there is none.
type enrolAnswer struct {
	Chain  [][]byte `json:"chain,omitempty"` // DER: the leaf, then its issuers
	Roots  [][]byte `json:"roots,omitempty"` // DER
	Links  []string `json:"links,omitempty"` // as granted, for a person
	Error  string   `json:"error,omitempty"` // one of the codes below
	Reason string   `json:"reason,omitempty"`
}

// enrolCodes are the answers that refuse, by the error that they stand for.
var enrolCodes = []struct {
	code string
	err  error
}{
	{"invitation", ErrInvitation},
	{"revoked", ErrRevoked},
	{"unknown", ErrUnknownClient},
	{"request", ErrRequest},
	{"busy", ErrBusy},
	{"failed", ErrEnrolment},
}

// refusalOf is the answer for an error. Of an invitation a stranger learns no
// more than that it will not do; other errors are for the provider's log.
func refusalOf(err error) enrolAnswer {
	for _, c := range enrolCodes {
		if !errors.Is(err, c.err) {
			continue
		}
		a := enrolAnswer{Error: c.code}
		if c.err == ErrRequest {
			a.Reason = shorten(err.Error()) // is about what the asker sent
		}
		return a
	}
	return enrolAnswer{Error: "failed"}
}

// refusal is the error that an answer stands for, nil for a certificate.
func (a enrolAnswer) refusal() error {
	if a.Error == "" {
		return nil
	}
	for _, c := range enrolCodes {
		if a.Error == c.code {
			return c.err
		}
	}
	return fmt.Errorf("%w: %s", ErrEnrolment, shorten(a.Error))
}

// readMessage reads one JSON value of at most so many bytes and no more.
func readMessage(r io.Reader, most int64, v any) error {
	limited := &io.LimitedReader{R: r, N: most}
	err := json.NewDecoder(limited).Decode(v)
	if err != nil && limited.N == 0 {
		return fmt.Errorf("message of more than %d bytes", most)
	}
	return err
}

func writeMessage(w io.Writer, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	data = append(data, '\n')
	defer clear(data) // a request has a secret in it
	_, err = w.Write(data)
	return err
}

// newRequest is a request for a key's certificate. It says nothing else.
func newRequest(key crypto.Signer) ([]byte, error) {
	return x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
}

func parseAll(der [][]byte) ([]*x509.Certificate, error) {
	if len(der) == 0 {
		return nil, errors.New("no certificate")
	}
	var all []*x509.Certificate
	for _, d := range der {
		c, err := x509.ParseCertificate(d)
		if err != nil {
			return nil, err
		}
		all = append(all, c)
	}
	return all, nil
}

func rawOf(certs []*x509.Certificate) [][]byte {
	var all [][]byte
	for _, c := range certs {
		all = append(all, c.Raw)
	}
	return all
}

// speak does the client's side of an exchange on a dialled connection: only the
// handshake's end lets the request out. It closes conn.
func speak(ctx context.Context, conn io.Closer, t *tls.Conn, request enrolRequest) (enrolAnswer, error) {
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	var answer enrolAnswer
	if err := t.HandshakeContext(ctx); err != nil {
		return answer, err
	}
	if got := t.ConnectionState().NegotiatedProtocol; got != EnrolProtocol {
		return answer, fmt.Errorf("the other side does not enrol (it agreed to %q, not to %q): is it an older version?", got, EnrolProtocol)
	}
	err := writeMessage(t, request)
	// A provider that refuses the handshake is heard by reading only.
	if errRead := readMessage(t, maxEnrolAnswer, &answer); errRead != nil {
		if ctx.Err() != nil {
			errRead = ctx.Err()
		}
		return answer, errors.Join(errRead, err)
	}
	return answer, answer.refusal()
}
