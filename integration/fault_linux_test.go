package integration

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// far is a pair of which each half stands on a host of its own (network
// namespaces), so that the path between them can be broken as paths break.
// The backend is the provider's neighbour, and the consumers are the client's.
type far struct {
	t        *testing.T
	hosts    *hosts
	backend  *backend
	echo     string // the address of an echo beside the provider
	provider *process
	client   *process
	entry    string // leads to backend
	echoes   string // leads to echo
	dir      string
}

// The two hosts, their addresses and the provider's port.
const (
	bigServer    = "big-server"
	clientServer = "client-server"
	carrierPort  = "7000"
	bigAddress   = "192.0.2.1"
	nearAddress  = "192.0.2.2"
)

// startFar needs root, iptables and tc besides what startHosts needs.
func startFar(t *testing.T, o pairOptions) *far {
	t.Helper()
	h := startHosts(t, bigServer, clientServer, nil)
	needPrograms(t, "iptables", "tc", "ss", "prlimit")
	f := &far{t: t, hosts: h, entry: "127.0.0.1:6379", echoes: "127.0.0.1:6380", dir: t.TempDir()}
	h.inside(t, bigServer, func() {
		f.backend = newBackend(t)
		f.echo = newEcho(t)
	})
	issue(t, f.state("provider"), f.state("client"))
	f.serve(o.serve...)
	f.connect(o.connect...)
	return f
}

func needPrograms(t *testing.T, programs ...string) {
	t.Helper()
	for _, program := range programs {
		if _, err := exec.LookPath(program); err != nil {
			if required("redis") {
				t.Fatal(err)
			}
			t.Skip(err)
		}
	}
}

func (f *far) state(of string) string { return filepath.Join(f.dir, of) }

// links are what the provider offers: port 6379 is the backend, port 6380 the echo.
func (f *far) links() []string {
	number := func(addr string) string { _, port, _ := net.SplitHostPort(addr); return port }
	return []string{"--link", "backend=127.0.0.1:" + number(f.backend.addr), "--link", "echo=127.0.0.1:" + number(f.echo)}
}

// serve starts the provider.
func (f *far) serve(args ...string) {
	f.t.Helper()
	f.hosts.inside(f.t, bigServer, func() {
		f.provider = run(f.t, nil, append(append([]string{"serve", "--listen", ":" + carrierPort, "--state-dir", f.state("provider")}, f.links()...), args...)...)
	})
	f.provider.waitLog("serving")
}

// connect starts the client, and waits until it has a session.
func (f *far) connect(args ...string) {
	f.t.Helper()
	links := f.links()
	port := func(link string) string { return link[strings.LastIndexByte(link, ':')+1:] }
	f.hosts.inside(f.t, clientServer, func() {
		f.client = run(f.t, nil, append([]string{
			"connect", bigAddress + ":" + carrierPort, "--state-dir", f.state("client"),
			"--expose", f.entry + "=backend:" + port(links[1]), "--expose", f.echoes + "=echo:" + port(links[3]),
		}, args...)...)
	})
	f.client.waitLog("connected to the provider")
}

// dial connects a consumer on the client's host with the backend.
func (f *far) dial() (consumer, service *net.TCPConn) {
	f.t.Helper()
	f.hosts.inside(f.t, clientServer, func() { consumer, service = f.backend.dial(f.t, f.entry) })
	return consumer, service
}

// visit is one consumer of the echo.
func (f *far) visit() (err error) {
	f.hosts.inside(f.t, clientServer, func() { err = visit(f.echoes, random(2000)) })
	return err
}

// blackhole drops what comes to a host, and what leaves it but for loopback, until
// the function that it returns is called.
func (f *far) blackhole(host string) (mend func()) {
	f.t.Helper()
	rules := [][]string{{"INPUT", "-i", "wan", "-j", "DROP"}, {"OUTPUT", "-o", "wan", "-j", "DROP"}}
	for _, r := range rules {
		f.iptables(host, "-I", r...)
	}
	return func() {
		f.t.Helper()
		for _, r := range rules {
			f.iptables(host, "-D", r...)
		}
	}
}

// iptables changes a rule on a host.
func (f *far) iptables(host, action string, rule ...string) {
	f.t.Helper()
	f.on(host, "iptables", append([]string{"-w", action}, rule...)...)
}

// on runs a program as root on a host.
func (f *far) on(host, program string, args ...string) string {
	f.t.Helper()
	r := command(nil, "ip", append([]string{"netns", "exec", f.hosts.netns[host], program}, args...)...)
	if r.err != nil {
		f.t.Fatal(r)
	}
	return r.stdout
}

// inside runs f with the sockets and processes that it makes on a host: its thread
// enters the host's namespace and comes back.
func (h *hosts) inside(t *testing.T, name string, f func()) {
	t.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	open := func(namespace string) *os.File {
		ns, err := os.Open(namespace)
		if err != nil {
			t.Fatal(err)
		}
		return ns
	}
	here, there := open("/proc/thread-self/ns/net"), open("/run/netns/"+h.netns[name])
	defer here.Close()
	defer there.Close()
	if err := unix.Setns(int(there.Fd()), unix.CLONE_NEWNET); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := unix.Setns(int(here.Fd()), unix.CLONE_NEWNET); err != nil {
			panic(err) // the thread would take other tests along
		}
	}()
	f()
}

// cpu is the processor time that a process has used so far.
func (p *process) cpu() time.Duration {
	p.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		p.t.Fatal(err)
	}
	// The name, which may hold anything, ends with the last bracket (proc_pid_stat(5)).
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	ticks := 0
	for _, f := range fields[11:13] { // utime and stime
		n, err := strconv.Atoi(f)
		if err != nil {
			p.t.Fatal(err)
		}
		ticks += n
	}
	return time.Duration(ticks) * time.Second / 100 // USER_HZ (time(7))
}

// descriptors are the open ones of a process.
func (p *process) descriptors() int {
	p.t.Helper()
	all, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", p.cmd.Process.Pid))
	if err != nil {
		p.t.Fatal(err)
	}
	return len(all)
}

// resident is the memory of a process that is in RAM, in bytes.
func (p *process) resident() int64 {
	p.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", p.cmd.Process.Pid))
	if err != nil {
		p.t.Fatal(err)
	}
	pages, err := strconv.ParseInt(strings.Fields(string(text))[1], 10, 64)
	if err != nil {
		p.t.Fatal(err)
	}
	return pages * int64(os.Getpagesize())
}

// limitDescriptors sets how many descriptors a running process may have.
func (p *process) limitDescriptors(n int) {
	p.t.Helper()
	limit := unix.Rlimit{Cur: uint64(n), Max: 20000}
	if err := unix.Prlimit(p.cmd.Process.Pid, unix.RLIMIT_NOFILE, &limit, nil); err != nil {
		p.t.Fatal(err)
	}
}

// count is how many lines of the log have the message.
func (p *process) count(msg string) int {
	return strings.Count(p.log(), `"msg":`+strconv.Quote(msg))
}
