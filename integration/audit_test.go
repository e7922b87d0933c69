package integration

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"net"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

// servedBy is the serial of the certificate that a provider presents.
func servedBy(t *testing.T, address string) string {
	t.Helper()
	c, err := tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"ambassador/1"}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return hex.EncodeToString(c.ConnectionState().PeerCertificates[0].SerialNumber.Bytes())
}

func serialOf(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(text)
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(cert.SerialNumber.Bytes())
}

// The port as others' tools see it, with an invitation open and without: TLS 1.3
// and nothing older, in every protocol that it speaks.
func TestAuditByOtherTools(t *testing.T) {
	dir := t.TempDir()
	p := startProvider(t, dir+"/provider", "--link", "redis=127.0.0.1:1")
	host, port, _ := net.SplitHostPort(p.address())
	t.Run("testssl", func(t *testing.T) {
		// Its exit code counts what it would like otherwise, such as a public CA.
		out := tool(t, "testssl", "--warnings", "off", "--color", "0", "-p", "-S", p.address())
		for _, want := range []string{
			`SSLv3 +not offered`, `TLS 1 +not offered`, `TLS 1\.1 +not offered`, `TLS 1\.2 +not offered`, `TLS 1\.3 +offered \(OK\)`,
			`Session Resumption +Tickets no, ID: no`,
		} {
			if !regexp.MustCompile(want).MatchString(out) {
				t.Errorf("testssl does not say %q:\n%s", want, out)
			}
		}
	})
	for name, prepare := range map[string]func(){
		"no invitation":      func() {},
		"an open invitation": func() { invite(t, dir+"/provider", "web") },
	} {
		prepare()
		t.Run("sslscan, "+name, func(t *testing.T) {
			out := tool(t, "sslscan", "--no-colour", p.address())
			for _, version := range []string{"SSLv2", "SSLv3", "TLSv1.0", "TLSv1.1", "TLSv1.2"} {
				if !regexp.MustCompile(regexp.QuoteMeta(version) + ` +disabled`).MatchString(out) {
					t.Errorf("%s is not said to be disabled", version)
				}
			}
			if !regexp.MustCompile(`TLSv1\.3 +enabled`).MatchString(out) || strings.Contains(out, "vulnerable to heartbleed") && !strings.Contains(out, "not vulnerable to heartbleed") {
				t.Error("no TLS 1.3")
			}
			if regexp.MustCompile(`(?m)^(Preferred|Accepted) +TLSv1\.[012]`).MatchString(out) {
				t.Error("older ciphers are accepted")
			}
			if t.Failed() {
				t.Log(out)
			}
		})
		t.Run("nmap, "+name, func(t *testing.T) {
			out := tool(t, "nmap", "-Pn", "-p", port, "--script", "ssl-enum-ciphers", host)
			if strings.Contains(out, "TLSv1.0") || strings.Contains(out, "TLSv1.1") || strings.Contains(out, "TLSv1.2") || strings.Contains(out, "SSLv") {
				t.Errorf("older versions:\n%s", out)
			}
			if !strings.Contains(out, port+"/tcp open") {
				t.Errorf("the port was not seen:\n%s", out)
			}
		})
		t.Run("openssl, "+name, func(t *testing.T) {
			for _, alpn := range []string{"ambassador/1", "ambassador-enrol/1"} {
				// -tls1_3 with a second of reading: tickets come after the handshake.
				out := tool(t, "sh", "-c", `sleep 1 | openssl s_client -connect "$1" -tls1_3 -alpn "$2" -msg 2>&1; true`, "sh", p.address(), alpn)
				if !strings.Contains(out, "TLSv1.3") || strings.Contains(out, "NewSessionTicket") {
					t.Errorf("%s: a ticket, or no TLS 1.3:\n%s", alpn, out)
				}
				old := tool(t, "sh", "-c", `openssl s_client -connect "$1" -tls1_2 -alpn "$2" </dev/null 2>&1; true`, "sh", p.address(), alpn)
				if !strings.Contains(old, "alert protocol version") {
					t.Errorf("%s: TLS 1.2 is not refused:\n%s", alpn, old)
				}
			}
		})
	}
}

// installed is where a program of Debian's is. Without it the test is skipped, and
// fails with AMBASSADOR_REQUIRE=redis: .ci/run installs it beside Redis.
func installed(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil && required("redis") {
		t.Fatal(err)
	}
	if err != nil {
		t.Skip(err)
	}
	return path
}

// tool runs such a program.
func tool(t *testing.T, name string, args ...string) string {
	t.Helper()
	r := command(nil, installed(t, name), args...)
	if r.err != nil && name != "testssl" {
		t.Fatal(r)
	}
	return r.stdout
}
