package integration

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"ambassador/certs"
)

// transferSize is what is under way while a certificate is renewed.
const transferSize = 2 << 30

// numbered sends so many bytes, each block of them with a number of its own, and
// returns their hash: neither a loss nor a block out of its place keeps it.
func numbered(c *net.TCPConn, size int) ([]byte, error) {
	sum, block := sha256.New(), random(256<<10)
	for i := 0; i < size; i += len(block) {
		binary.BigEndian.PutUint64(block, uint64(i))
		if _, err := c.Write(block); err != nil {
			return nil, err
		}
		sum.Write(block)
	}
	return sum.Sum(nil), c.CloseWrite()
}

// age puts a certificate of the client's into its directory that was issued some
// days ago.
func age(t *testing.T, j *joined, days int) {
	t.Helper()
	ca, err := certs.Open(j.state[0], certs.OpenOptions{Now: func() time.Time { return time.Now().AddDate(0, 0, -days) }})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ca.IssueTo("tester", nil, j.state[1]); err != nil {
		t.Fatal(err)
	}
}

// In the middle of a transfer the client finds its certificate at 73 % of its
// life and renews it: a new session takes what is new, and not one byte of what
// runs is lost.
func TestRenewalInTheMiddleOfALargeTransfer(t *testing.T) {
	j := join(t)
	idle, idleService := j.b.dial(t, j.entry)
	exchange(t, idle, idleService)
	consumer, service := j.b.dial(t, j.entry)

	type result struct {
		sum []byte
		err error
	}
	sent, received := make(chan result, 1), make(chan result, 1)
	middle, renewed := make(chan struct{}), make(chan struct{})
	go func() {
		sum, err := numbered(service, transferSize)
		sent <- result{sum, err}
	}()
	go func() {
		sum := sha256.New()
		_, err := io.CopyN(sum, consumer, transferSize/4)
		close(middle)
		if err == nil {
			// What is left goes on while the session changes, and does not end
			// before it has.
			if _, err = io.CopyN(sum, consumer, transferSize/4); err == nil {
				<-renewed
				_, err = io.Copy(sum, consumer)
			}
		}
		received <- result{sum.Sum(nil), err}
	}()
	<-middle
	age(t, j, 22)
	j.waitLog("certificates reloaded")
	j.waitLog("certificate renewed")
	j.provider.waitLog("renewed a client's certificate", "spiffe://ambassador/client/tester")
	// By now new consumers come over another session than the transfer.
	within(t, patience, func() bool { return len(sessions(j.provider)) >= 2 })
	fresh, freshService := j.b.dial(t, j.entry)
	exchange(t, fresh, freshService)
	close(renewed)

	in, out := <-sent, <-received
	if err := errors.Join(in.err, out.err); err != nil {
		t.Fatal(err)
	}
	if hex.EncodeToString(in.sum) != hex.EncodeToString(out.sum) {
		t.Errorf("received %x, sent %x", out.sum, in.sum)
	}
	exchange(t, idle, idleService)
	exchange(t, fresh, freshService)
	consumer.Close()
	// All of it went over the session that it began on.
	l := j.provider.waitLog("stream ended", sessions(j.provider)[0])
	if n, _ := l["bytes_out"].(float64); int(n) != transferSize {
		t.Errorf("the first session carried %v bytes of it", l["bytes_out"])
	}
	idle.Close()
	idleService.Close()
	j.provider.waitLog("client disconnected", sessions(j.provider)[0]) // after its last stream
	exchange(t, fresh, freshService)

	now, err := certs.Inspect(filepath.Join(j.state[1], "cert.pem"))
	if err != nil || time.Until(now.Certificates[0].NotAfter) < 29*24*time.Hour {
		t.Errorf("on disk the certificate ends on %v, %v", now.Certificates[0].NotAfter, err)
	}
}

// sessions are those of clients that connected, as they stand in every line about
// them.
func sessions(p *process) (all []string) {
	for _, line := range strings.Split(p.log(), "\n") {
		if l, ok := match(line, "client connected", nil); ok {
			all = append(all, fmt.Sprintf(`"session":%v,`, l["session"]))
		}
	}
	return all
}

// A client whose provider is away says so, and loses nothing.
func TestRenewalThatFailsIsLoudAndHarmless(t *testing.T) {
	t.Parallel()
	j := join(t)
	j.provider.signal(syscall.SIGTERM)
	j.provider.exit()
	age(t, j, 22)
	l := j.waitLog("certificate not renewed, will try again")
	if l["level"] != "warn" || !strings.Contains(l["reason"].(string), "connection refused") || l["not_after"] == nil || l["next_attempt"] == nil {
		t.Errorf("told %v", l)
	}
	if code, _, stderr := once(t, nil, "certs", "inspect", "--expires-in", "9d", j.state[1]); code != 1 || !strings.Contains(stderr, "renews it by itself, and its log says why not") {
		t.Errorf("certs inspect: exit %d: %s", code, stderr)
	}
	if code, _, stderr := once(t, nil, "certs", "inspect", "--expires-in", "7d", j.state[1]); code != 0 {
		t.Errorf("certs inspect: exit %d: %s", code, stderr)
	}
}

// The last quarter of a life is an error in the log, whoever was to renew.
func TestCertificateThatEndsSoonIsTold(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	b := newBackend(t)
	issue(t, dir+"/provider", dir+"/client")
	ca, err := certs.Open(dir+"/provider", certs.OpenOptions{Now: func() time.Time { return time.Now().AddDate(0, 0, -25) }})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ca.IssueTo("tester", nil, dir+"/client"); err != nil {
		t.Fatal(err)
	}
	c := run(t, nil, "connect", "127.0.0.1:1", "--state-dir", dir+"/client", "--expose", freePort(t)+"="+b.addr[strings.LastIndex(b.addr, ":")+1:])
	if l := c.waitLog("the certificate ends soon and was not renewed"); l["level"] != "error" {
		t.Errorf("told %v", l)
	}
}

// A running provider finds its own certificate at 73 % of its life, renews it,
// and ends nothing by that.
func TestProviderRenewsItsOwnCertificate(t *testing.T) {
	t.Parallel()
	j := join(t)
	kept, keptService := j.b.dial(t, j.entry)
	exchange(t, kept, keptService)
	ca, err := certs.Open(j.state[0], certs.OpenOptions{Now: func() time.Time { return time.Now().AddDate(0, 0, -22) }})
	if err != nil {
		t.Fatal(err)
	}
	if made, err := ca.EnsureProvider(); !made || err != nil {
		t.Fatal(made, err)
	}
	j.provider.waitLog("certificates reloaded")
	j.provider.waitLog("renewed the provider's certificate")
	file := filepath.Join(j.state[0], "cert.pem")
	within(t, patience, func() bool { return servedBy(t, j.provider.address()) == serialOf(t, file) })
	now, err := certs.Inspect(file)
	if err != nil || time.Until(now.Certificates[0].NotAfter) < 29*24*time.Hour {
		t.Errorf("on disk the certificate ends on %v, %v", now.Certificates[0].NotAfter, err)
	}
	exchange(t, kept, keptService)
	if n := len(sessions(j.provider)); n != 1 {
		t.Errorf("the client connected %d times", n)
	}
}

// Root, issuer and the provider's certificate are changed beside a running pair.
func TestNewRootUnderARunningPair(t *testing.T) {
	j := join(t)
	kept, keptService := j.b.dial(t, j.entry)
	exchange(t, kept, keptService)
	j.on(t, "certs", "renew", "--root")
	j.provider.waitLog("certificates reloaded")
	exchange(t, kept, keptService)

	// A client that knows the old root alone connects, and gets the new one.
	j.signal(syscall.SIGTERM)
	kept.Close()
	keptService.Close()
	j.exit()
	_, port, _ := net.SplitHostPort(j.b.addr)
	args := []string{"connect", j.provider.address(), "--state-dir", j.state[1], "--expose", j.entry + "=backend:" + port}
	again := run(t, nil, args...)
	again.waitLog("connected to the provider")
	age(t, j, 22)
	again.waitLog("certificate renewed")
	found, err := certs.Inspect(filepath.Join(j.state[1], "ca.pem"))
	if err != nil || len(found.Certificates) != 2 {
		t.Errorf("the client trusts %d roots, %v", len(found.Certificates), err)
	}
	newcomer := run(t, nil, "connect", j.provider.address(), "--state-dir", t.TempDir()+"/c", "--expose", freePort(t)+"=backend:"+port,
		"--join", invite(t, j.state[0], "newcomer"))
	newcomer.waitLog("connected to the provider")
}

// Files of another CA are taken over when they change: by a copy, by SIGHUP, and
// by the swap of a Secret that Kubernetes mounts. Bad ones are not.
func TestChangedFilesAreTakenOver(t *testing.T) {
	t.Parallel()
	b := newBackend(t)
	dir, secret := t.TempDir(), t.TempDir()
	company := newCompany(t)
	version := func(name, host string) {
		t.Helper()
		to := filepath.Join(secret, name)
		if err := os.Mkdir(to, 0o700); err != nil {
			t.Fatal(err)
		}
		company.leafFor(t, to, "tls", []string{host})
		company.writeRoot(t, filepath.Join(to, "ca.pem"))
	}
	link := func(to, name string) {
		t.Helper()
		next := filepath.Join(secret, "..next")
		if err := errors.Join(os.Symlink(to, next), os.Rename(next, filepath.Join(secret, name))); err != nil {
			t.Fatal(err)
		}
	}
	version("..v1", "localhost")
	link("..v1", "..data")
	for _, f := range []string{"tls.pem", "tls.key", "ca.pem"} {
		link("..data/"+f, f)
	}
	company.leafFor(t, dir, "web-1", nil)
	p := startProvider(t, dir+"/none", "--link", "backend="+b.addr, "--allow", "web-*=backend",
		"--cert", secret+"/tls.pem", "--key", secret+"/tls.key", "--ca", secret+"/ca.pem")
	_, port, _ := net.SplitHostPort(p.address())
	_, backendPort, _ := net.SplitHostPort(b.addr)
	entry := "127.0.0.1:" + freePort(t)
	c := run(t, nil, "connect", "localhost:"+port, "--cert", dir+"/web-1.pem", "--key", dir+"/web-1.key", "--ca", secret+"/ca.pem",
		"--expose", entry+"=backend:"+backendPort)
	c.waitLog("connected to the provider")
	kept, keptService := b.dial(t, entry)
	exchange(t, kept, keptService)

	version("..v2", "localhost")
	link("..v2", "..data")
	p.waitLog("certificates reloaded", "localhost")
	if served := servedBy(t, p.address()); served != serialOf(t, secret+"/tls.pem") {
		t.Errorf("a new handshake is given %s", served)
	}
	exchange(t, kept, keptService)

	// A pair of which one half is bad keeps the old one in use.
	good := servedBy(t, p.address())
	version("..v3", "localhost")
	write(t, secret+"/..v3/tls.key", "garbage")
	link("..v3", "..data")
	p.waitLog("certificates not reloaded, keeping the old ones", "--key", "malformed")
	if served := servedBy(t, p.address()); served != good {
		t.Error("the old certificate is not in use any more")
	}
	p.signal(syscall.SIGHUP)
	p.waitLog("reloading")
	exchange(t, kept, keptService)
	link("..v2", "..data") // back again
	within(t, patience, func() bool {
		p.signal(syscall.SIGHUP)
		return slices.ContainsFunc(strings.Split(p.log(), "\n"), isUnchanged)
	})

	// The client's own files: the running connection stays, new ones use them.
	company.leafFor(t, dir, "web-1", nil)
	c.waitLog("certificates reloaded", "web-1")
	within(t, patience, func() bool { return len(sessions(p)) == 2 })
	fresh, freshService := b.dial(t, entry)
	exchange(t, fresh, freshService)
	exchange(t, kept, keptService)
}

func isUnchanged(line string) bool {
	_, ok := match(line, "certificates are the same as before", nil)
	return ok
}
