package certs

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

func TestExplainWhatIsNoCertificatesFault(t *testing.T) {
	ca := newCA(t, InitOptions{})
	client := clientOf(t, ca, "web")
	old := serverConfig(t, provider(t, ca))
	old.MinVersion, old.MaxVersion = tls.VersionTLS12, tls.VersionTLS12
	s := shake(t, clientConfig(t, client, "x"), old)
	if got := Explain(s.client); !strings.HasPrefix(got, "the other side does not speak TLS 1.3") {
		t.Errorf("TLS 1.2: %q", got)
	}
	alpn, noALPN := clientConfig(t, client, "x"), serverConfig(t, provider(t, ca))
	alpn.NextProtos, noALPN.NextProtos = []string{"ambassador/1"}, []string{"h2"}
	s = shake(t, alpn, noALPN)
	if got := Explain(s.client); !strings.HasPrefix(got, "the other side speaks TLS but is no ambassador") {
		t.Errorf("ALPN: %q", got)
	}
}

// A joiner whose clock is behind has met the right provider.
func TestExplainJoinerWhoseClockIsBehind(t *testing.T) {
	ca := newCA(t, InitOptions{Now: at(time.Now().Add(time.Hour))})
	l, err := ca.newLeaf(Identity{"ambassador", RoleProvider, "big-server"})
	if err != nil {
		t.Fatal(err)
	}
	cs := tls.ConnectionState{
		Version: tls.VersionTLS13, NegotiatedProtocol: EnrolProtocol,
		PeerCertificates: append(l.chain, ca.roots...),
	}
	err = verifyInviter(cs, rootHash(ca.roots[0]), nil)
	wantIs(t, err, ErrProvider)
	if got := Explain(err); !strings.Contains(got, "not valid before 20") || !strings.Contains(got, "set this host's clock, which says 20") {
		t.Errorf("%q", got)
	}
	// Of another CA's it is the CA that is told.
	err = verifyInviter(cs, rootHash(newCA(t, InitOptions{}).roots[0]), nil)
	if got := Explain(err); !strings.HasPrefix(got, "the other side is not the provider of this token") {
		t.Errorf("%q", got)
	}
}

func TestExplainNoTLS(t *testing.T) {
	a, b := net.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = b.Read(make([]byte, 4096))
		_, _ = io.WriteString(b, "HTTP/1.1 400 Bad Request\r\n\r\n")
		_, _ = io.Copy(io.Discard, b)
	}()
	err := tls.Client(a, &tls.Config{ServerName: "x"}).Handshake()
	a.Close()
	<-done
	if got := Explain(fmt.Errorf("handshake failed: %w", err)); !strings.HasPrefix(got, "the other side does not speak TLS:") {
		t.Errorf("%q", got)
	}
}

func TestExplainLeavesOtherErrorsAlone(t *testing.T) {
	for _, err := range []error{io.EOF, errors.New("no route"), &net.OpError{Op: "dial", Err: errors.New("refused")}} {
		if got := Explain(err); got != err.Error() {
			t.Errorf("%v became %q", err, got)
		}
	}
	if Explain(nil) != "" {
		t.Error("nil is an error")
	}
}
