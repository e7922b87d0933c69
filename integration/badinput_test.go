package integration

import (
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// The rows of the table of bad input that show only in a running ambassador.
// Those that a command line alone shows are scripts in cmd/ambassador.

func TestAmbiguousPortIsRefusedWithItsCandidates(t *testing.T) {
	b := newBackend(t)
	dir := t.TempDir()
	issue(t, dir+"/provider", dir+"/client")
	p := startProvider(t, dir+"/provider", "--link", "redis="+b.addr, "--link", "cache="+b.addr)
	_, port, _ := net.SplitHostPort(b.addr)
	code, _, stderr := once(t, nil, "connect", p.address(), "--state-dir", dir+"/client", "--expose", freePort(t)+"="+port)
	if code != 2 || !strings.Contains(stderr, "redis:"+port) || !strings.Contains(stderr, "cache:"+port) {
		t.Fatalf("exit %d: %s; want 2 and both candidates", code, stderr)
	}
}

func TestLocalPortThatCannotBeHad(t *testing.T) {
	holder, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer holder.Close()
	_, taken, _ := net.SplitHostPort(holder.Addr().String())
	free := freePort(t)
	dir := t.TempDir()
	issue(t, dir+"/provider", dir+"/client")
	for name, args := range map[string][]string{
		"connect": {"connect", "127.0.0.1:1", "--state-dir", dir + "/client", "--expose", free + "=redis:1", "--expose", taken + "=redis:2"},
		"forward": {"forward"},
	} {
		t.Run(name, func(t *testing.T) {
			env := []string{"A_PORT_" + free + "_TCP=tcp://127.0.0.1:1", "B_PORT_" + taken + "_TCP=tcp://127.0.0.1:1"}
			code, _, stderr := once(t, env, args...)
			if code != 1 || !strings.Contains(stderr, "127.0.0.1:"+taken) || !strings.Contains(stderr, "address already in use") {
				t.Fatalf("exit %d: %s; want 1, the port, and that it is in use", code, stderr)
			}
			if strings.Contains(stderr, "local port open") || strings.Contains(stderr, `"forwarding"`) {
				t.Fatalf("the other port was opened for a moment: %s", stderr)
			}
		})
	}
}

func TestPrivilegedPortSaysSo(t *testing.T) {
	if os.Geteuid() != 0 {
		code, _, stderr := once(t, nil, "forward", "127.0.0.1", "81")
		checkPrivileged(t, code, stderr)
		return
	}
	code, stderr := asNobody(t, "forward", "127.0.0.1", "81")
	checkPrivileged(t, code, stderr)
}

func checkPrivileged(t *testing.T, code int, stderr string) {
	t.Helper()
	if code != 1 || !strings.Contains(stderr, "127.0.0.1:81") || !strings.Contains(stderr, "permission denied") {
		t.Fatalf("exit %d: %s; want 1, the port, and that it is not permitted", code, stderr)
	}
}

func TestBadCertificatesAreNamed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	issue(t, dir+"/provider", dir+"/client")
	issue(t, dir+"/other-provider", dir+"/other-client")
	p := startProvider(t, dir+"/provider", "--link", "redis=127.0.0.1:1")
	copied := func(t *testing.T) string {
		d := t.TempDir()
		if err := os.Chmod(d, 0o700); err != nil {
			t.Fatal(err)
		}
		for _, f := range []string{"ca.pem", "cert.pem", "key.pem"} {
			copyFile(t, filepath.Join(dir, "client", f), filepath.Join(d, f))
		}
		return d
	}
	for _, row := range []struct {
		name  string
		spoil func(t *testing.T, d string)
		want  []string
	}{
		{"none", func(t *testing.T, d string) { remove(t, d+"/cert.pem") }, []string{"no certificate for " + p.address(), "ambassador invite NAME", "--join"}},
		{"key-readable-by-others", func(t *testing.T, d string) { chmod(t, d+"/key.pem", 0o644) }, []string{"key.pem", "0644", "chmod"}},
		{"directory-open-to-others", func(t *testing.T, d string) { chmod(t, d, 0o755) }, []string{"0755", "chmod"}},
		{"key-of-another-certificate", func(t *testing.T, d string) { copyFile(t, dir+"/other-client/key.pem", d+"/key.pem") }, []string{"key.pem", "cert.pem", "not the key"}},
		{"certificate-of-another-ca", func(t *testing.T, d string) { copyFile(t, dir+"/other-client/ca.pem", d+"/ca.pem") }, []string{"cert.pem", "ca.pem"}},
		{"provider-certificate-used-as-client", func(t *testing.T, d string) {
			for _, f := range []string{"cert.pem", "key.pem"} {
				copyFile(t, filepath.Join(dir, "provider", f), filepath.Join(d, f))
			}
		}, []string{"cert.pem", "provider"}},
		{"garbage", func(t *testing.T, d string) { write(t, d+"/cert.pem", "not a certificate") }, []string{"cert.pem"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			d := copied(t)
			row.spoil(t, d)
			code, _, stderr := once(t, nil, "connect", p.address(), "--state-dir", d, "--expose", freePort(t)+"=redis:1")
			last := lastLine(stderr)
			if code != 1 {
				t.Errorf("exit %d, want 1: %s", code, stderr)
			}
			for _, w := range row.want {
				if !strings.Contains(last, w) {
					t.Errorf("%q does not name %q", last, w)
				}
			}
		})
	}
	t.Run("all-of-another-ca", func(t *testing.T) {
		c := run(t, nil, "connect", p.address(), "--state-dir", dir+"/other-client", "--expose", freePort(t)+"=redis:1")
		l := c.waitLog("provider not reached, will keep trying")
		if reason, _ := l["reason"].(string); !strings.Contains(reason, "CA") {
			t.Errorf("%q does not say that the CA is another", reason)
		}
	})
	t.Run("provider-does-not-know-the-client-any-more", func(t *testing.T) {
		issue(t, dir+"/provider", dir+"/gone")
		remove(t, dir+"/provider/clients/tester.json")
		c := run(t, nil, "connect", p.address(), "--state-dir", dir+"/gone", "--expose", freePort(t)+"=redis:1")
		c.waitLog("provider not reached, will keep trying", "no record of it: only a new invitation brings it back")
		p.waitLog("client refused", "tester")
	})
}

func TestUnreachableProviderIsOneLinePerChange(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	issue(t, dir+"/provider", dir+"/client")
	port := freePort(t)
	c := run(t, nil, "connect", "127.0.0.1:"+port, "--state-dir", dir+"/client", "--expose", freePort(t)+"=redis:1")
	first := c.waitLog("provider not reached, will keep trying")
	if reason, _ := first["reason"].(string); !strings.Contains(reason, "refused") {
		t.Errorf("reason %q", reason)
	}
	// Consumers make it try again at once, several times within this wait.
	c.waitLog("local port open")
	<-time.After(1500 * time.Millisecond)
	if n := strings.Count(c.log(), "provider not reached"); n != 1 {
		t.Errorf("%d lines for one state", n)
	}
	p := run(t, nil, "serve", "--listen", "127.0.0.1:"+port, "--state-dir", dir+"/provider", "--link", "redis=127.0.0.1:1")
	p.waitLog("serving")
	c.waitLog("connected to the provider")
}

func TestStrangersHarmNobody(t *testing.T) {
	b := newBackend(t)
	p := startPair(t, b.addr, pairOptions{})
	addr := p.provider.address()
	consumer, service := b.dial(t, p.entry)
	for name, says := range map[string]string{
		"scanner": "", "http": "GET / HTTP/1.1\r\nHost: x\r\n\r\n", "garbage": strings.Repeat("\x00\xff", 5000),
		"tls-ish": "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
	} {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(name, err)
		}
		from := c.LocalAddr().String()
		io.WriteString(c, says)
		c.(*net.TCPConn).CloseWrite()
		c.SetReadDeadline(time.Now().Add(patience))
		io.Copy(io.Discard, c)
		c.Close()
		l := p.provider.waitLog("connection refused before it was authenticated", from)
		if l["level"] != "debug" {
			t.Errorf("%s: logged at %v", name, l["level"])
		}
		if n := strings.Count(p.provider.log(), fmt.Sprintf("%q", from)); n != 1 {
			t.Errorf("%s: %d lines about it", name, n)
		}
	}
	exchange(t, consumer, service)
}

func TestMalformedVariableAmongGoodOnes(t *testing.T) {
	b := newBackend(t)
	port := freePort(t)
	p := run(t, []string{
		"GOOD_PORT_" + port + "_TCP=tcp://" + b.addr,
		"BAD_PORT_1234_TCP=tcp://nonsense",
		"DNS_PORT_53_UDP=udp://10.0.0.1:53",
		"GOOD_ENV_PASSWORD=canary-secret",
		"GOOD_ENV_REDIS_PORT_6379_TCP=tcp://canary:1",
	}, "forward")
	p.waitLog("link variable ignored", "BAD_PORT_1234_TCP")
	p.waitLog("link variable ignored", "DNS_PORT_53_UDP", "udp")
	p.waitLog("forwarding", "good")
	consumer, service := b.dial(t, "127.0.0.1:"+port)
	exchange(t, consumer, service)
	if strings.Contains(p.log(), "canary") {
		t.Error("the log shows a value of an _ENV_ variable")
	}
}

func TestForwardToItselfIsRefused(t *testing.T) {
	port := freePort(t)
	p := run(t, []string{"SELF_PORT_" + port + "_TCP=tcp://127.0.0.1:" + port}, "forward")
	p.waitLog("forwarding")
	if c, err := net.Dial("tcp", "127.0.0.1:"+port); err == nil {
		defer c.Close()
		seesReset(t, c.(*net.TCPConn))
	}
	p.waitLog("consumer reset", "this ambassador itself")
}
