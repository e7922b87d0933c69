//go:build unix

package integration

import (
	"crypto/rand"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// hosts are machines in miniature on one network: network namespaces, each with
// its own addresses, /etc/hosts and home. Processes in them are nobody's, so
// that nothing works only because the tests are root's.
type hosts struct {
	dir   string // holds a home for each, and bin
	names []string
	netns map[string]string // the namespaces, by host
}

// nobody owns the homes and runs the commands; Debian's number for it.
const nobody = 65534

// startHosts makes two hosts and joins them by a cable (veth(4)). aliases are
// further names that a host knows for itself on loopback, where the other
// cannot reach it.
//
// It needs root and iproute2. Without them the test is skipped and says so;
// with AMBASSADOR_REQUIRE=redis, as .ci/run sets it, it fails.
func startHosts(t *testing.T, one, two string, aliases map[string]string) *hosts {
	t.Helper()
	needNetns(t)
	h := &hosts{dir: t.TempDir(), names: []string{one, two}, netns: map[string]string{}}
	// Whoever runs as nobody has to get to the homes and to the program.
	for _, dir := range []string{filepath.Dir(h.dir), h.dir, filepath.Dir(ambassador)} {
		chmod(t, dir, 0o755)
	}
	id := strings.ToLower(rand.Text()[:6])
	for _, name := range h.names {
		h.add(t, name, name+"-"+id)
	}
	// Addresses for documentation (RFC 5737): real ones of this machine's are
	// not shadowed, and nothing is routed there.
	addresses := map[string]string{one: "192.0.2.1", two: "192.0.2.2"}
	ip(t, "link", "add", "wan", "netns", h.netns[one], "type", "veth", "peer", "name", "wan", "netns", h.netns[two])
	for _, name := range h.names {
		inside := []string{"-n", h.netns[name]}
		ip(t, append(inside, "address", "add", addresses[name]+"/24", "dev", "wan")...)
		ip(t, append(inside, "link", "set", "lo", "up")...)
		ip(t, append(inside, "link", "set", "wan", "up")...)
		table := "127.0.0.1 localhost " + aliases[name] + "\n"
		for _, n := range h.names {
			table += addresses[n] + " " + n + "\n"
		}
		write(t, h.etcHosts(name), table)
		chmod(t, h.etcHosts(name), 0o644)
	}
	return h
}

// needNetns tries what startHosts needs: a container's root may not have it.
func needNetns(t *testing.T) {
	t.Helper()
	unavailable := t.Skipf
	if required("redis") {
		unavailable = t.Fatalf
	}
	if os.Geteuid() != 0 {
		unavailable("needs root for network namespaces")
	}
	for _, program := range []string{"ip", "mount", "setpriv"} {
		if _, err := exec.LookPath(program); err != nil {
			unavailable("needs network namespaces (Debian's iproute2, mount and util-linux): %v", err)
		}
	}
	probe := "probe-" + strings.ToLower(rand.Text()[:6])
	defer command(nil, "ip", "netns", "delete", probe)
	if r := command(nil, "ip", "netns", "add", probe); r.err != nil {
		unavailable("needs network namespaces: %s", r)
	}
	if r := command(nil, "ip", "netns", "exec", probe, "mount", "--bind", "/etc/hosts", "/etc/hosts"); r.err != nil {
		unavailable("needs network namespaces: %s", r)
	}
}

// add makes a host's namespace and home.
func (h *hosts) add(t *testing.T, name, netns string) {
	t.Helper()
	h.netns[name] = netns
	t.Cleanup(func() { h.remove(t, netns) })
	ip(t, "netns", "add", netns)
	if err := os.Mkdir(h.home(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(h.home(name), nobody, nobody); err != nil {
		t.Fatal(err)
	}
}

// remove ends what still runs in a namespace, and deletes it.
func (h *hosts) remove(t *testing.T, netns string) {
	h.kill(t, netns)
	if r := command(nil, "ip", "netns", "delete", netns); r.err != nil {
		t.Error(r)
	}
}

// kill returns when nothing runs in a namespace any more: the kernel keeps one
// for as long as a process is in it, and with it the other's end of the cable.
func (h *hosts) kill(t *testing.T, netns string) {
	eventually(t, patience, func() error {
		pids := strings.Fields(command(nil, "ip", "netns", "pids", netns).stdout)
		if len(pids) == 0 {
			return nil
		}
		command(nil, "kill", append([]string{"-KILL"}, pids...)...)
		return fmt.Errorf("processes %v still run in %s", pids, netns)
	})
}

func ip(t *testing.T, args ...string) {
	t.Helper()
	if r := command(nil, "ip", args...); r.err != nil {
		t.Fatal(r)
	}
}

func (h *hosts) home(name string) string     { return filepath.Join(h.dir, name) }
func (h *hosts) bin() string                 { return filepath.Join(h.dir, "bin") }
func (h *hosts) etcHosts(name string) string { return filepath.Join(h.dir, name+".hosts") }

// shell is the command line that runs a script on a host as its user types it:
// in the home, with bin before the system's programs and nothing else of this
// process's environment, ended by the first failure.
//
// "ip netns exec" gives every command a mount namespace of its own, so that the
// other /etc/hosts is seen by nobody else and needs no clean-up (ip-netns(8)).
func (h *hosts) shell(name, script string) []string {
	const enter = `mount --bind "$1" /etc/hosts && cd "$HOME" && exec setpriv --reuid "$2" --regid "$2" --clear-groups sh -ec "$3"`
	return []string{
		"env", "-i", "HOME=" + h.home(name), "PATH=" + h.bin() + ":" + os.Getenv("PATH"), "HOSTS=" + h.dir,
		"ip", "netns", "exec", h.netns[name], "sh", "-c", enter, "sh", h.etcHosts(name), fmt.Sprint(nobody), script,
	}
}

// do runs a script on a host to its end.
func (h *hosts) do(name, script string) result {
	args := h.shell(name, script)
	r := command(nil, args[0], args[1:]...)
	r.command = name + ": " + script
	return r
}

// begin starts a script on a host that runs until the test ends.
func (h *hosts) begin(t *testing.T, name, script string) *process {
	t.Helper()
	args := h.shell(name, script)
	p := &process{t: t, cmd: exec.Command(args[0], args[1:]...), done: make(chan struct{}), more: make(chan struct{})}
	stderr, err := p.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go p.read(stderr)
	t.Cleanup(func() {
		p.cmd.Process.Kill()
		h.kill(t, h.netns[name]) // its children too, which hold the pipe
		<-p.done
		if t.Failed() {
			t.Logf("%s: %s:\n%s", name, script, p.log())
		}
		if strings.Contains(p.log(), "DATA RACE") {
			t.Errorf("%s: %s: data race:\n%s", name, script, p.log())
		}
	})
	return p
}

// redis starts a Redis on a host, on loopback alone: from the other host only
// an ambassador leads there.
func (h *hosts) redis(t *testing.T, name string) {
	t.Helper()
	h.begin(t, name, `exec redis-server --bind 127.0.0.1 --port 6379 --save "" --appendonly no`)
	eventually(t, patience, func() error {
		if r := h.do(name, "redis-cli ping"); r.stdout != "PONG" {
			return fmt.Errorf("no answer yet: %s", r)
		}
		return nil
	})
}

// equip gives the hosts the program, ssh's way between them, and the files that
// a company's CA would have given out.
func (h *hosts) equip(t *testing.T) {
	t.Helper()
	if err := os.Mkdir(h.bin(), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(ambassador, filepath.Join(h.bin(), "ambassador")); err != nil {
		t.Fatal(err)
	}
	// In place of ssh, which is not ours to test: the homes are folders here.
	scp := filepath.Join(h.bin(), "scp")
	write(t, scp, "#!/bin/sh -e\n[ $# = 3 ] && [ \"$1\" = -rp ]\nexec cp -Rp \"$HOSTS/${2%%:*}/${2#*:}\" \"$3\"\n")
	chmod(t, scp, 0o755)

	company := newCompany(t)
	for _, host := range h.names {
		company.writeRoot(t, filepath.Join(h.home(host), "company-ca.pem"))
		h.own(t, host, "company-ca.pem")
	}
	company.leafFor(t, h.home("big-server"), "big-server", []string{"big-server"})
	h.own(t, "big-server", "big-server.pem", "big-server.key")
	company.leafFor(t, h.home("client-server"), "web-1", nil)
	h.own(t, "client-server", "web-1.pem", "web-1.key")
}

// own gives files of a home to its owner.
func (h *hosts) own(t *testing.T, name string, files ...string) {
	t.Helper()
	for _, f := range files {
		if err := os.Chown(filepath.Join(h.home(name), f), nobody, nobody); err != nil {
			t.Fatal(err)
		}
	}
}
