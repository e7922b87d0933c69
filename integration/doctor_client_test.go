package integration

import (
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"ambassador/certs"
)

// clinic is a provider that works, with a client that could.
type clinic struct {
	dir    string
	echo   string // a backend, offered as "echo"
	port   string // its port
	served *process
}

func openClinic(t *testing.T, more ...string) *clinic {
	t.Helper()
	c := &clinic{dir: t.TempDir(), echo: newEcho(t)}
	_, c.port, _ = net.SplitHostPort(c.echo)
	issue(t, c.provider(), c.client())
	c.served = startProvider(t, c.provider(), append([]string{"--link", "echo=" + c.echo}, more...)...)
	return c
}

func (c *clinic) provider() string { return filepath.Join(c.dir, "provider") }
func (c *clinic) client() string   { return filepath.Join(c.dir, "client") }

// copied is the client's state directory once more, to be spoilt.
func (c *clinic) copied(t *testing.T) string {
	d := t.TempDir()
	chmod(t, d, 0o700)
	for _, f := range []string{"ca.pem", "cert.pem", "key.pem"} {
		copyFile(t, filepath.Join(c.client(), f), filepath.Join(d, f))
	}
	return d
}

func TestDoctorFindsNothingWhereAllIsWell(t *testing.T) {
	t.Parallel()
	c := openClinic(t)
	e := examine(t, nil, c.served.address(), "--state-dir", c.client(), "--expose", freePort(t)+"=echo")
	if !e.Healthy || e.Side != "client" || len(e.verdicts("warning")) > 0 {
		t.Errorf("%+v", e)
	}
	for _, check := range []string{
		"expose", "state-dir", "file-modes", "certificate", "expiry", "provider-name", "provider-dial", "tls",
		"provider-certificate", "provider-expiry", "clock", "admission", "grant", "round-trip", "local-port",
	} {
		if !strings.Contains(strings.Join(e.verdicts("ok"), " ")+" ", check+" ") {
			t.Errorf("%s was not checked", check)
		}
	}
	c.served.waitLog("client disconnected") // and no session is left behind
}

func TestDoctorNamesTheHopOnTheWayToTheProvider(t *testing.T) {
	t.Parallel()
	c := openClinic(t)
	gone := startProvider(t, c.provider()+"2", "--link", "echo="+c.echo)
	address := gone.address()
	gone.cmd.Process.Kill()
	<-gone.done
	web := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(web.Close)
	secure := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(secure.Close)
	old := httptest.NewUnstartedServer(http.NotFoundHandler())
	old.TLS = &tls.Config{MaxVersion: tls.VersionTLS12}
	old.StartTLS()
	t.Cleanup(old.Close)
	const noAmbassador = `an "ambassador serve"`
	for name, row := range map[string]struct {
		address string
		want    ailment
	}{
		"wrong-port":    {"127.0.0.1:" + freePort(t), ailment{"provider-dial", "provider-name", "refuses connections", `start "ambassador serve"`}},
		"provider-down": {address, ailment{"provider-dial", "provider-name", "refuses connections", `start "ambassador serve"`}},
		"wrong-name":    {"no-such-host.invalid:7000", ailment{"provider-name", "expiry", "no-such-host.invalid", "name"}},
		"ssh":           {says(t, "SSH-2.0-OpenSSH_9.2\r\n"), ailment{"tls", "provider-dial", "SSH server", noAmbassador}},
		"web":           {hostOf(web), ailment{"tls", "provider-dial", "web server without TLS", noAmbassador}},
		"redis":         {says(t, "-ERR Protocol error"), ailment{"tls", "provider-dial", "Redis", noAmbassador}},
		"https":         {hostOf(secure), ailment{"tls", "provider-dial", "no ambassador", "check host and port"}},
		"old-tls":       {hostOf(old), ailment{"tls", "provider-dial", "TLS 1.3", "an ambassador's"}},
		"hangs-up":      {says(t, ""), ailment{"tls", "provider-dial", "closes the connection", noAmbassador}},
		"silent":        {newBackend(t).addr, ailment{"tls", "provider-dial", "says nothing", noAmbassador}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			examine(t, nil, row.address, "--state-dir", c.client(), "--expose", freePort(t)+"=echo").shows(t, row.want)
		})
	}
}

// A web server that agrees to no protocol is told from a provider of another CA.
func TestDoctorKnowsTLSWithoutALPN(t *testing.T) {
	t.Parallel()
	c := openClinic(t)
	company := newCompany(t)
	company.leafFor(t, c.dir, "web", []string{"web"})
	address := shows(t, c.dir+"/web.pem", c.dir+"/web.key")
	examine(t, nil, address, "--state-dir", c.client()).shows(t, ailment{"tls", "provider-dial", `"web"`, "an \"ambassador serve\""})
}

func TestDoctorNamesWhatIsWrongWithTheClientsFiles(t *testing.T) {
	t.Parallel()
	c := openClinic(t)
	issue(t, c.dir+"/other-provider", c.dir+"/other-client")
	at := func(t *testing.T, d string, when time.Time) {
		ca, err := certs.Init(t.TempDir()+"/ca", certs.InitOptions{Now: func() time.Time { return when }})
		if err != nil {
			t.Fatal(err)
		}
		if err := os.RemoveAll(d); err != nil {
			t.Fatal(err)
		}
		if _, err := ca.IssueTo("tester", nil, d); err != nil {
			t.Fatal(err)
		}
	}
	for _, row := range []struct {
		name  string
		spoil func(t *testing.T, d string)
		want  ailment
	}{
		{"no-state-dir", func(t *testing.T, d string) { os.RemoveAll(d) }, ailment{"state-dir", "expose", "does not exist", "ambassador invite NAME"}},
		{"no-certificate", func(t *testing.T, d string) { remove(t, d+"/cert.pem") }, ailment{"certificate", "state-dir", "cert.pem does not exist", "--join"}},
		{"no-key", func(t *testing.T, d string) { remove(t, d+"/key.pem") }, ailment{"certificate", "state-dir", "key.pem", ""}},
		{"key-readable-by-others", func(t *testing.T, d string) { chmod(t, d+"/key.pem", 0o644) }, ailment{"file-modes", "state-dir", "0644", "chmod 600"}},
		{"directory-open-to-others", func(t *testing.T, d string) { chmod(t, d, 0o755) }, ailment{"file-modes", "state-dir", "0755", "chmod 700"}},
		{"key-of-another-certificate", func(t *testing.T, d string) { copyFile(t, c.dir+"/other-client/key.pem", d+"/key.pem") }, ailment{"certificate", "file-modes", "not the key", ""}},
		{"certificate-of-another-ca", func(t *testing.T, d string) { copyFile(t, c.dir+"/other-client/ca.pem", d+"/ca.pem") }, ailment{"certificate", "file-modes", "does not chain", "belong together"}},
		{"provider-certificate-used-as-client", func(t *testing.T, d string) {
			for _, f := range []string{"cert.pem", "key.pem"} {
				copyFile(t, filepath.Join(c.provider(), f), filepath.Join(d, f))
			}
		}, ailment{"certificate", "file-modes", "is a provider's", "state directory of its own"}},
		{"garbage", func(t *testing.T, d string) { write(t, d+"/cert.pem", "not a certificate") }, ailment{"certificate", "state-dir", "malformed", "new certificate"}},
		{"expired", func(t *testing.T, d string) { at(t, d, time.Now().AddDate(0, 0, -40)) }, ailment{"expiry", "certificate", "has expired", "ambassador invite NAME"}},
		{"not-yet-valid", func(t *testing.T, d string) { at(t, d, time.Now().AddDate(0, 0, 2)) }, ailment{"clock", "certificate", "not valid before", "set this host's clock"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			d := c.copied(t)
			row.spoil(t, d)
			e := examine(t, nil, c.served.address(), "--state-dir", d, "--expose", freePort(t)+"=echo")
			e.shows(t, row.want)
			// The way to the provider does not depend on our files.
			if ok := e.verdicts("ok"); !strings.Contains(strings.Join(ok, " "), "provider-dial tls") {
				t.Errorf("passed: %v, want the provider found too", ok)
			}
		})
	}
	t.Run("given-files", func(t *testing.T) {
		d := c.client()
		examine(t, nil, c.served.address(), "--cert", d+"/cert.pem", "--key", c.dir+"/other-client/key.pem", "--ca", d+"/ca.pem").
			shows(t, ailment{"certificate", "file-modes", "--key", ""})
	})
	t.Run("soon-to-expire", func(t *testing.T) {
		ca, err := certs.Init(t.TempDir()+"/ca", certs.InitOptions{Now: func() time.Time { return time.Now().AddDate(0, 0, -28) }})
		if err != nil {
			t.Fatal(err)
		}
		d := t.TempDir() + "/client"
		if _, err := ca.IssueTo("tester", nil, d); err != nil {
			t.Fatal(err)
		}
		e := examine(t, nil, "127.0.0.1:"+freePort(t), "--state-dir", d)
		if got := e.verdicts("warning"); len(got) != 1 || got[0] != "expiry" {
			t.Errorf("%+v", e)
		}
	})
}

func TestDoctorNamesWhatIsWrongBetweenTheTwo(t *testing.T) {
	t.Parallel()
	c := openClinic(t)
	t.Run("other-ca", func(t *testing.T) {
		issue(t, c.dir+"/other-provider", c.dir+"/other-client")
		examine(t, nil, c.served.address(), "--state-dir", c.dir+"/other-client").
			shows(t, ailment{"provider-certificate", "tls", "another CA", "host and port are the provider's"})
	})
	t.Run("revoked", func(t *testing.T) {
		d := c.as(t, "revoked")
		mustRun(t, "revoke", "revoked", "--state-dir", c.provider())
		examine(t, nil, c.served.address(), "--state-dir", d).
			shows(t, ailment{"admission", "provider-certificate", "revoked", "ambassador invite NAME"})
	})
	t.Run("unknown-to-the-provider", func(t *testing.T) {
		d := c.as(t, "gone")
		remove(t, c.provider()+"/clients/gone.json")
		examine(t, nil, c.served.address(), "--state-dir", d).
			shows(t, ailment{"admission", "provider-certificate", "no record", "ambassador invite NAME"})
	})
	t.Run("without-a-grant", func(t *testing.T) {
		d := c.as(t, "poor", "--link", "another")
		examine(t, nil, c.served.address(), "--state-dir", d).
			shows(t, ailment{"grant", "admission", "no link", `"ambassador grant poor LINK"`})
	})
	t.Run("link-not-granted", func(t *testing.T) {
		examine(t, nil, c.served.address(), "--state-dir", c.client(), "--expose", freePort(t)+"=postgres").
			shows(t, ailment{"grant", "admission", "grants echo:" + c.port, `"ambassador grant tester postgres"`})
	})
}

// as issues a further client's directory.
func (c *clinic) as(t *testing.T, name string, args ...string) (dir string) {
	t.Helper()
	dir = filepath.Join(c.dir, "client-"+name)
	mustRun(t, append([]string{"certs", "issue", name, "--state-dir", c.provider(), "--out", dir}, args...)...)
	return dir
}

func mustRun(t *testing.T, args ...string) {
	t.Helper()
	if code, _, stderr := once(t, nil, args...); code != 0 {
		t.Fatalf("ambassador %s: exit %d: %s", strings.Join(args, " "), code, stderr)
	}
}

// With another CA's certificates the provider's name counts, and its times can be
// staged.
func TestDoctorWithCertificatesOfAnotherCA(t *testing.T) {
	t.Parallel()
	dir, company, now := t.TempDir(), newCompany(t), time.Now()
	company.writeRoot(t, dir+"/ca.pem")
	company.leafFor(t, dir, "web-1", nil)
	company.leafFor(t, dir, "big-server", []string{"big-server"})
	company.leafFor(t, dir, "local", []string{"localhost"})
	company.leafOf(t, dir, "old", []string{"localhost"}, now.Add(-50*time.Minute), now.Add(-time.Minute))
	company.leafOf(t, dir, "new", []string{"localhost"}, now.Add(30*time.Minute), now.Add(50*time.Minute))
	other := newCompany(t)
	other.writeRoot(t, dir+"/other-ca.pem")
	company.writeRoot(t, dir+"/company-ca.pem")
	ours := []string{"--cert", dir + "/web-1.pem", "--key", dir + "/web-1.key", "--ca", dir + "/ca.pem"}
	echo := newEcho(t)
	serve := func(t *testing.T, name, ca, allow string) string {
		p := run(t, nil, "serve", "--listen", "127.0.0.1:0", "--link", "echo="+echo, "--allow", allow,
			"--cert", dir+"/"+name+".pem", "--key", dir+"/"+name+".key", "--ca", ca)
		_, port, _ := net.SplitHostPort(p.address())
		return "localhost:" + port
	}
	for name, row := range map[string]struct {
		address string
		want    ailment
	}{
		"other-name":       {serve(t, "big-server", dir+"/ca.pem", "web-*=echo"), ailment{"provider-certificate", "tls", "another host", "use the name that it is for"}},
		"not-allowed":      {serve(t, "local", dir+"/ca.pem", "db-*=echo"), ailment{"admission", "provider-certificate", "refuses this client", "--allow 'web-1=LINK'"}},
		"link-not-allowed": {serve(t, "local", dir+"/ca.pem", "web-*=redis"), ailment{"grant", "admission", "no link", "--allow 'web-1=LINK'"}},
		"provider-expired": {shows(t, dir+"/old.pem", dir+"/old.key", "ambassador/1"), ailment{"provider-expiry", "tls", "expired", `restart "ambassador serve"`}},
		"provider-too-new": {shows(t, dir+"/new.pem", dir+"/new.key", "ambassador/1"), ailment{"clock", "tls", "not valid before", "set this host's clock"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, port, _ := net.SplitHostPort(row.address)
			examine(t, nil, append([]string{"localhost:" + port}, ours...)...).shows(t, row.want)
		})
	}
	t.Run("our-ca-unknown-there", func(t *testing.T) {
		// Both certificates are good, and the provider asks for another CA's.
		pair, err := tls.LoadX509KeyPair(dir+"/local.pem", dir+"/local.key")
		if err != nil {
			t.Fatal(err)
		}
		config := &tls.Config{Certificates: []tls.Certificate{pair}, NextProtos: []string{"ambassador/1"}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool(t, dir+"/other-ca.pem")}
		_, port, _ := net.SplitHostPort(handshakes(t, config))
		examine(t, nil, append([]string{"localhost:" + port}, ours...)...).
			shows(t, ailment{"admission", "provider-expiry", "does not know the CA of our certificate", ""})
	})
	t.Run("well", func(t *testing.T) {
		e := examine(t, nil, append([]string{serve(t, "local", dir+"/ca.pem", "web-*=echo"), "--expose", freePort(t) + "=echo"}, ours...)...)
		if !e.Healthy {
			t.Errorf("%+v", e)
		}
	})
}

func TestDoctorNamesTheBackendsTrouble(t *testing.T) {
	t.Parallel()
	_, port, _ := net.SplitHostPort(newEcho(t)) // some port
	gone := freePort(t)
	c := openClinic(t, "--link", "gone=127.0.0.1:"+gone, "--link", "unknown=no-such-host.invalid:1", "--link", "double=127.0.0.1:"+port)
	for link, want := range map[string]ailment{
		"gone":    {"round-trip", "grant", "nothing listens", "start the service"},
		"unknown": {"round-trip", "grant", "the provider", `"ambassador doctor"`},
	} {
		t.Run(link, func(t *testing.T) {
			t.Parallel()
			examine(t, nil, c.served.address(), "--state-dir", c.client(), "--expose", freePort(t)+"="+link).shows(t, want)
		})
	}
	t.Run("silent", func(t *testing.T) {
		t.Parallel()
		quiet := newBackend(t) // takes connections and says nothing
		dir := t.TempDir()
		issue(t, dir+"/provider", dir+"/client")
		p := startProvider(t, dir+"/provider", "--link", "quiet="+quiet.addr)
		if e := examine(t, nil, p.address(), "--state-dir", dir+"/client", "--expose", freePort(t)+"=quiet"); !e.Healthy {
			t.Errorf("%+v", e)
		}
	})
}

func TestDoctorNamesWhatCannotBeExposed(t *testing.T) {
	t.Parallel()
	echo := newEcho(t)
	_, port, _ := net.SplitHostPort(echo)
	dir := t.TempDir()
	issue(t, dir+"/provider", dir+"/client")
	p := startProvider(t, dir+"/provider", "--link", "redis="+echo, "--link", "cache="+echo)
	holder, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer holder.Close()
	_, taken, _ := net.SplitHostPort(holder.Addr().String())
	same := freePort(t)
	for name, row := range map[string]struct {
		env  []string
		args []string
		want ailment
	}{
		"ambiguous":   {nil, []string{"--expose", freePort(t) + "=" + port}, ailment{"expose", "grant", "2 links offer", "redis:" + port}},
		"malformed":   {nil, []string{"--expose", "=x="}, ailment{"expose", "", "", "ambassador connect --help"}},
		"same-port":   {nil, []string{"--expose", same + "=redis", "--expose", same + "=cache"}, ailment{"expose", "grant", "is taken by", "LOCAL=REMOTE"}},
		"port-taken":  {nil, []string{"--expose", taken + "=redis"}, ailment{"local-port", "round-trip", "taken by integration", "end that process"}},
		"not-ours":    {nil, []string{"--expose", "192.0.2.77:" + same + "=redis"}, ailment{"local-port", "round-trip", "no such address", "0.0.0.0"}},
		"environment": {[]string{"AMBASSADOR_EXPOSE=" + same + "=nothing"}, nil, ailment{"grant", "admission", "no such link", "ambassador grant tester nothing"}},
	} {
		t.Run(name, func(t *testing.T) {
			e := examine(t, row.env, append([]string{p.address(), "--state-dir", dir + "/client"}, row.args...)...)
			e.shows(t, row.want)
			if row.env != nil && e.Checks[0].Found != "from environment variable AMBASSADOR_EXPOSE" {
				t.Errorf("%q does not say where --expose came from", e.Checks[0].Found)
			}
		})
	}
	t.Run("left-over-variable", func(t *testing.T) {
		e := examine(t, []string{"REDIS_PORT_6379_TCP=tcp://nonsense:canary:1", "AMBASSADOR_EXPOSE_HOST=127.0.0.2"}, p.address(), "--state-dir", dir+"/client")
		e.suspects(t, "link-variable", "remove it")
		if strings.Contains(e.Checks[0].Found, "canary") {
			t.Error("it shows the variable's value")
		}
	})
}

// A client that runs with the same certificate, its port and its connections are
// left alone.
func TestDoctorDisturbsNobody(t *testing.T) {
	t.Parallel()
	b := newBackend(t)
	p := startPair(t, b.addr, pairOptions{})
	consumer, service := b.dial(t, p.entry)
	exchange(t, consumer, service)
	_, port, _ := net.SplitHostPort(b.addr)
	e := examine(t, nil, p.carrier.addr(), "--state-dir", p.state, "--expose", p.entry+"=backend:"+port)
	if !e.Healthy || len(e.verdicts("warning")) > 0 {
		t.Errorf("%+v", e)
	}
	for _, c := range e.Checks {
		if c.Check == "local-port" && !strings.Contains(c.Found, "held by the ambassador that runs here") {
			t.Errorf("%+v", c)
		}
	}
	(<-b.conns).Close() // doctor's own try
	exchange(t, consumer, service)
	if log := p.client.log(); strings.Contains(log, "lost") || strings.Count(log, "connected to the provider") != 1 {
		t.Errorf("the client was disturbed:\n%s", log)
	}
	p.provider.waitLog("client disconnected")
}

// says is a server that says something to whoever comes, and hangs up.
func says(t *testing.T, word string) string {
	t.Helper()
	return serveConns(t, func(c net.Conn) {
		io.WriteString(c, word)
		c.(*net.TCPConn).CloseWrite()
		c.SetReadDeadline(time.Now().Add(patience))
		io.Copy(io.Discard, c)
	})
}

// shows is a TLS server that presents a certificate, and says nothing more.
func shows(t *testing.T, cert, key string, protocols ...string) string {
	t.Helper()
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	return handshakes(t, &tls.Config{Certificates: []tls.Certificate{pair}, NextProtos: protocols})
}

func handshakes(t *testing.T, config *tls.Config) string {
	t.Helper()
	return serveConns(t, func(c net.Conn) {
		c.SetDeadline(time.Now().Add(patience))
		_ = tls.Server(c, config).Handshake() // the client may refuse
		io.Copy(io.Discard, c)
	})
}

func serveConns(t *testing.T, handle func(net.Conn)) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			running.Go(func() {
				defer c.Close()
				handle(c)
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		running.Wait()
	})
	return l.Addr().String()
}

func hostOf(s *httptest.Server) string { return s.Listener.Addr().String() }
