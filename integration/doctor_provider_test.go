package integration

import (
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"ambassador/certs"
)

func TestDoctorNamesTheLinksTrouble(t *testing.T) {
	t.Parallel()
	echo := newEcho(t)
	_, port, _ := net.SplitHostPort(echo)
	dir := t.TempDir()
	issue(t, dir+"/provider", dir+"/client")
	self := freePort(t)
	for name, row := range map[string]struct {
		env  []string
		args []string
		want ailment
	}{
		"no-link":         {nil, nil, ailment{"link", "", "Docker Engine 29 no longer sets them", "-e REDIS_PORT_6379_TCP=tcp://redis:6379"}},
		"without-a-port":  {[]string{"CACHE_NAME=/web/cache"}, nil, ailment{"link", "", "CACHE_NAME", "--link redis:6379"}},
		"malformed":       {nil, []string{"--link", "redis:6379/udp"}, ailment{"link", "", "udp is not carried", "flag --link"}},
		"no-port-known":   {[]string{"AMBASSADOR_LINK=thing"}, nil, ailment{"link", "", "no port known", "environment variable AMBASSADOR_LINK"}},
		"backend-down":    {nil, []string{"--link", "redis=127.0.0.1:" + freePort(t)}, ailment{"backend-dial", "backend-name", "refuses connections", "start the service"}},
		"backend-unknown": {nil, []string{"--link", "redis=no-such-host.invalid:1"}, ailment{"backend-name", "link", "no-such-host.invalid", "name"}},
		"circle":          {nil, []string{"--link", "me=127.0.0.1:" + self, "--listen", "127.0.0.1:" + self}, ailment{"backend-dial", "backend-name", "circle", "--listen on another port"}},
	} {
		t.Run(name, func(t *testing.T) {
			args := append([]string{"--state-dir", dir + "/provider", "--listen", "127.0.0.1:0", "--max-streams", "100"}, row.args...)
			examine(t, row.env, args...).shows(t, row.want)
		})
	}
	t.Run("one-of-two-is-malformed", func(t *testing.T) {
		e := examine(t, []string{"GOOD_PORT_" + port + "_TCP=tcp://" + echo, "BAD_PORT_1234_TCP=tcp://nonsense"}, "--state-dir", dir+"/provider", "--listen", "127.0.0.1:0")
		e.suspects(t, "link-variable", "correct the variable")
		for _, c := range e.Checks {
			if c.Check == "link" && (c.About != "good" || !strings.Contains(c.Found, "from link variables in the environment")) {
				t.Errorf("%+v", c)
			}
		}
	})
	t.Run("where-it-came-from", func(t *testing.T) {
		config := filepath.Join(dir, "config.yaml")
		write(t, config, "link: [echo=127.0.0.1:"+port+"]\n")
		e := examine(t, nil, "--config", config, "--state-dir", dir+"/provider", "--listen", "127.0.0.1:0")
		if e.Checks[0].Check != "link" || !strings.HasSuffix(e.Checks[0].Found, "from config file "+config) {
			t.Errorf("%+v", e.Checks[0])
		}
		e = examine(t, nil, "--link", "redis=localhost", "--state-dir", dir+"/provider", "--listen", "127.0.0.1:0")
		if e.Checks[0].Found != "port 6379 from the table of well-known names, link from flag --link" {
			t.Errorf("%+v", e.Checks[0])
		}
	})
}

func TestDoctorNamesWhatIsWrongWithTheProvidersFiles(t *testing.T) {
	t.Parallel()
	echo := newEcho(t)
	made := func(t *testing.T, ago time.Duration, passphrase []byte) string {
		d := t.TempDir() + "/provider"
		ca, err := certs.Init(d, certs.InitOptions{Passphrase: passphrase, Now: func() time.Time { return time.Now().Add(-ago) }})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ca.Issue("tester", nil); err != nil {
			t.Fatal(err)
		}
		return d
	}
	const days = 24 * time.Hour
	look := func(t *testing.T, d string, more ...string) examination {
		return examine(t, nil, append([]string{"--state-dir", d, "--listen", "127.0.0.1:0", "--link", "echo=" + echo}, more...)...)
	}
	for _, row := range []struct {
		name  string
		ago   time.Duration
		spoil func(t *testing.T, d string)
		want  ailment
	}{
		{"directory-open-to-others", 0, func(t *testing.T, d string) { chmod(t, d, 0o755) }, ailment{"file-modes", "state-dir", "0755", "chmod 700"}},
		{"issuer-key-readable", 0, func(t *testing.T, d string) { chmod(t, d+"/ca/issuer.key", 0o640) }, ailment{"file-modes", "state-dir", "0640", "chmod 600"}},
		{"root-key-readable", 0, func(t *testing.T, d string) { chmod(t, d+"/ca/root.key", 0o644) }, ailment{"file-modes", "state-dir", "root.key", "chmod 600"}},
		{"key-of-another-ca", 0, func(t *testing.T, d string) { copyFile(t, made(t, 0, nil)+"/ca/issuer.key", d+"/ca/issuer.key") }, ailment{"ca", "state-dir", "is not the key", "certs init"}},
		{"record-malformed", 0, func(t *testing.T, d string) { write(t, d+"/clients/tester.json", "{") }, ailment{"grants", "ca", "malformed", "issue the client's certificate again"}},
		{"a-clients-directory", 0, func(t *testing.T, d string) {
			if err := os.RemoveAll(d); err != nil {
				t.Fatal(err)
			}
			issue(t, t.TempDir()+"/p", d)
		}, ailment{"certificate", "file-modes", "is a client's certificate", "state directory of its own"}},
		{"clock-set-back", -2 * days, nil, ailment{"clock", "lock", "set back", "NTP"}},
		{"issuer-expired", 400 * days, nil, ailment{"ca", "state-dir", "issuer has expired", `"ambassador serve"`}},
	} {
		t.Run(row.name, func(t *testing.T) {
			d := made(t, row.ago, nil)
			if row.spoil != nil {
				row.spoil(t, d)
			}
			look(t, d).shows(t, row.want)
		})
	}
	t.Run("sealed", func(t *testing.T) {
		secret := []byte("canary passphrase")
		if e := look(t, made(t, 0, secret)); !e.Healthy || len(e.verdicts("warning")) > 1 {
			t.Errorf("%+v", e)
		}
		look(t, made(t, 300*days, secret)).suspects(t, "ca-seal", "certs renew --passphrase-file")
		look(t, made(t, 400*days, secret)).shows(t, ailment{"ca-seal", "state-dir", "no certificate can be made", "certs renew --passphrase-file"})
	})
	t.Run("nothing-there", func(t *testing.T) {
		d := t.TempDir() + "/none"
		look(t, d).suspects(t, "state-dir", "check --state-dir")
		if _, err := os.Lstat(d); err == nil {
			t.Error("doctor has made the state directory")
		}
	})
	t.Run("nobody-invited", func(t *testing.T) {
		d := made(t, 0, nil)
		remove(t, d+"/clients/tester.json")
		look(t, d).suspects(t, "grants", "ambassador invite NAME")
		mustRun(t, "invite", "web", "--state-dir", d, "--link", "echo")
		e := look(t, d)
		if ok := strings.Join(e.verdicts("ok"), " "); !strings.Contains(ok, "invitations") {
			t.Errorf("%+v", e)
		}
	})
	t.Run("grant-of-what-is-not-offered", func(t *testing.T) {
		d := made(t, 0, nil)
		mustRun(t, "certs", "issue", "web", "--state-dir", d, "--out", t.TempDir()+"/web", "--link", "mq")
		look(t, d).suspects(t, "grants", `"ambassador revoke web mq"`)
	})
	t.Run("descriptors", func(t *testing.T) {
		d := made(t, 0, nil)
		look(t, d, "--max-streams", "2000000000").suspects(t, "descriptors", "LimitNOFILE")
	})
	t.Run("changes-nothing", func(t *testing.T) {
		d := made(t, 300*days, nil) // the issuer is due
		before := listing(t, d)
		look(t, d)
		if after := listing(t, d); after != before {
			t.Errorf("before:\n%s\nafter:\n%s", before, after)
		}
	})
}

// listing is every file of a directory with its size and time.
func listing(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
		if err == nil {
			b.WriteString(path + " " + info.ModTime().String() + " " + info.Mode().String() + "\n")
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestDoctorNamesWhoHasTheProvidersPort(t *testing.T) {
	t.Parallel()
	c := openClinic(t)
	look := func(listen string, more ...string) examination {
		return examine(t, nil, append([]string{"--state-dir", c.provider(), "--listen", listen, "--link", "echo=" + c.echo, "--max-streams", "100"}, more...)...)
	}
	e := look(c.served.address())
	if !e.Healthy || len(e.verdicts("warning")) > 0 {
		t.Errorf("%+v", e)
	}
	e.says(t, "listen", c.served.address(), "held by the ambassador that runs here")
	if runtime.GOOS == "linux" && os.Geteuid() == 0 { // /proc/PID/fd of an ambassador is root's
		look(c.served.address(), "--control-socket", "off").says(t, "listen", c.served.address(), "held by ambassador (pid ")
	}
	holder, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer holder.Close()
	look(holder.Addr().String()).shows(t, ailment{"listen", "disk", "taken by integration", "--listen"})
}
