package integration

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"ambassador/certs"
)

// Linux has no namespace for the wall clock (time_namespaces(7): the monotonic ones
// alone), and Go asks the kernel without libc, so that nothing which is preloaded
// comes between. These tests build the real program with another time.Now: it adds
// what a file says. Timers, deadlines and the monotonic clock are the runtime's and
// stay, as they do when a real clock is set (clock_settime(2)).

// shiftedClock is a file of package time for that. The file of the environment
// variable is mapped: what is written to it counts at once.
const shiftedClock = `package time

import (
	"sync/atomic"
	"syscall"
	"unsafe"
)

var wallShift = mapWallShift()

func mapWallShift() *int64 {
	path, _ := syscall.Getenv("TEST_WALL_CLOCK")
	fd, err := syscall.Open(path, syscall.O_RDONLY, 0)
	if err != nil {
		panic("TEST_WALL_CLOCK: " + err.Error())
	}
	defer syscall.Close(fd)
	b, err := syscall.Mmap(fd, 0, 8, syscall.PROT_READ, syscall.MAP_SHARED)
	if err != nil {
		panic("TEST_WALL_CLOCK: " + err.Error())
	}
	return (*int64)(unsafe.Pointer(&b[0]))
}

func shiftWall() int64 { return atomic.LoadInt64(wallShift) }
`

// clocked is the path of the program with that clock.
var clocked = sync.OnceValues(func() (string, error) {
	out, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		return "", err
	}
	std := filepath.Join(strings.TrimSpace(string(out)), "src", "time")
	source, err := os.ReadFile(filepath.Join(std, "time.go"))
	if err != nil {
		return "", err
	}
	const now = "func Now() Time {\n\tsec, nsec, mono := runtimeNow()\n"
	if strings.Count(string(source), now) != 1 {
		return "", fmt.Errorf("time.Now in %s is another than this test knows: see how it gets the time now", std)
	}
	dir := filepath.Dir(ambassador) // removed when all tests are over
	overlay := map[string]map[string]string{"Replace": {
		filepath.Join(std, "time.go"):  filepath.Join(dir, "time.go"),
		filepath.Join(std, "shift.go"): filepath.Join(dir, "shift.go"),
	}}
	list, err := json.Marshal(overlay)
	if err != nil {
		return "", err
	}
	program := filepath.Join(dir, "ambassador-clocked")
	err = errors.Join(
		os.WriteFile(filepath.Join(dir, "time.go"), []byte(strings.Replace(string(source), now, now+"\tsec += shiftWall()\n", 1)), 0o600),
		os.WriteFile(filepath.Join(dir, "shift.go"), []byte(shiftedClock), 0o600),
		os.WriteFile(filepath.Join(dir, "overlay.json"), list, 0o600))
	if err != nil {
		return "", err
	}
	args := []string{"build", "-overlay", filepath.Join(dir, "overlay.json"), "-o", program}
	if raceEnabled {
		args = append(args, "-race")
	}
	build := exec.Command("go", append(args, "./cmd/ambassador")...)
	build.Dir = repository
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building with another clock: %w\n%s", err, out)
	}
	return program, nil
})

// clock is the wall clock of one or more processes.
type clock struct {
	t    *testing.T
	file *os.File
}

func newClock(t *testing.T) *clock {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "clock"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	c := &clock{t, f}
	c.set(0)
	return c
}

// set puts the clock so far ahead of the true one.
func (c *clock) set(ahead time.Duration) {
	c.t.Helper()
	if _, err := c.file.WriteAt(binary.NativeEndian.AppendUint64(nil, uint64(int64(ahead/time.Second))), 0); err != nil {
		c.t.Fatal(err)
	}
}

// run is run with this clock.
func (c *clock) run(args ...string) *process {
	c.t.Helper()
	program, err := clocked()
	if err != nil {
		c.t.Fatal(err)
	}
	return begin(c.t, exec.Command(program, args...), []string{"TEST_WALL_CLOCK=" + c.file.Name()})
}

// says is how far the clock of a process is ahead, by the last line of its log.
func (p *process) says() time.Duration {
	p.t.Helper()
	var l struct{ Ts string }
	if err := json.Unmarshal([]byte(lastLine(p.log())), &l); err != nil {
		p.t.Fatal(err)
	}
	at, err := time.Parse("2006-01-02T15:04:05.000Z0700", l.Ts)
	if err != nil {
		p.t.Fatal(err)
	}
	return time.Until(at).Round(time.Minute)
}

// clockedPair is a pair whose two clocks can be set.
type clockedPair struct {
	pair
	clocks map[string]*clock
	files  []string // the client's arguments for its certificate
	link   string   // what it exposes, behind the local port
}

// startClockedPair gives the client a certificate that was issued so many days ago, as
// files that it does not renew.
func startClockedPair(t *testing.T, backend string, issuedDaysAgo int) *clockedPair {
	t.Helper()
	dir := t.TempDir()
	p := &clockedPair{clocks: map[string]*clock{"provider": newClock(t), "client": newClock(t)}}
	p.state, p.providerState = dir+"/client", dir+"/provider"
	issue(t, p.providerState, p.state)
	ca, err := certs.Open(p.providerState, certs.OpenOptions{Now: func() time.Time { return time.Now().AddDate(0, 0, -issuedDaysAgo) }})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ca.IssueTo("tester", nil, p.state); err != nil {
		t.Fatal(err)
	}
	p.files = []string{"--cert", p.state + "/cert.pem", "--key", p.state + "/key.pem", "--ca", p.state + "/ca.pem"}
	_, port, _ := net.SplitHostPort(backend)
	p.link = "backend:" + port
	p.provider = p.clocks["provider"].run("serve", "--listen", "127.0.0.1:0", "--state-dir", p.providerState, "--link", "backend="+backend)
	p.carrier = newCarrier(t, p.provider.address())
	p.entry = "127.0.0.1:" + freePort(t)
	p.client = p.connect(p.entry)
	p.client.waitLog("connected to the provider")
	return p
}

// connect starts a client of the pair's.
func (p *clockedPair) connect(entry string) *process {
	return p.clocks["client"].run(append([]string{"connect", p.carrier.addr(), "--expose", entry + "=" + p.link}, p.files...)...)
}

// set puts both clocks so far ahead of the true one.
func (p *clockedPair) set(ahead time.Duration) {
	for _, c := range p.clocks {
		c.set(ahead)
	}
}

// TestClockJumps: when the wall clock is set, by hours and in the middle of whatever
// is going on, nothing ends that would not have ended, and nothing takes longer.
func TestClockJumps(t *testing.T) {
	t.Parallel()
	for name, jump := range map[string]time.Duration{"forwards": 7 * time.Hour, "backwards": -7 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			echo := newEcho(t)
			p := startClockedPair(t, echo, 0)
			stays := startSteady(t, p.entry)
			within(t, patience, func() bool { return stays.said.Load() > 10 })

			t.Run("live-streams", func(t *testing.T) {
				for range 5 {
					for _, ahead := range []time.Duration{jump, 0} {
						p.set(ahead)
						said := stays.said.Load()
						within(t, patience, func() bool { return stays.said.Load() > said+20 })
						if err := visit(p.entry, random(2000)); err != nil {
							t.Error("a new connection:", err)
						}
						// The jump was one: without this nothing here would fail without it.
						for _, proc := range []*process{p.provider, p.client} {
							eventually(t, patience, func() error {
								if says := proc.says(); says != ahead {
									return fmt.Errorf("the clock is %v ahead, want %v", says, ahead)
								}
								return nil
							})
						}
					}
				}
				for _, msg := range []string{"session with the provider lost, connecting again", "session is silent, trying another beside it", "client disconnected"} {
					if p.client.count(msg)+p.provider.count(msg) > 0 {
						t.Errorf("the log says %q", msg)
					}
				}
			})
			if err := stays.finish(); err != nil {
				t.Error("a stream that was there before:", err)
			}
			t.Run("hold-budget-for-a-session", func(t *testing.T) {
				p.carrier.setRefuse(true)
				p.carrier.cut()
				p.client.waitLog("session with the provider lost, connecting again")
				p.holdsAcross(t, jump)
				p.carrier.setRefuse(false)
			})
			t.Run("comes-back", func(t *testing.T) {
				// At the right time: 7 hours ago the certificates were not valid yet.
				eventually(t, patience, func() error { return visit(p.entry, random(2000)) })
			})
			t.Run("liveness", func(t *testing.T) {
				heard := time.Now()
				close(p.carrier.swallow)
				p.set(jump)
				for _, end := range []struct {
					p   *process
					msg string
				}{{p.client, "session with the provider lost, connecting again"}, {p.provider, "client disconnected"}} {
					if _, err := end.p.findLog(45*time.Second, end.msg, "nothing heard for"); err != nil {
						t.Error(err)
					}
					// Its last bytes were those of the visit.
					if took := time.Since(heard); took < 28*time.Second || took > 32*time.Second*idleFactor {
						t.Errorf("%q after %v of silence, want 30 s", end.msg, took)
					}
				}
			})
		})
	}
}

// TestClockJumpsWhileABackendIsDown: the provider's part of the hold budget.
func TestClockJumpsWhileABackendIsDown(t *testing.T) {
	t.Parallel()
	for name, jump := range map[string]time.Duration{"forwards": 7 * time.Hour, "backwards": -7 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := startClockedPair(t, "127.0.0.1:"+freePort(t), 0)
			p.holdsAcross(t, jump)
			p.client.waitLog("consumer reset", "connection refused")
		})
	}
}

// holdsAcross expects a consumer to be reset at the end of its 3 s, whatever the
// clocks say.
func (p *clockedPair) holdsAcross(t *testing.T, jump time.Duration) {
	t.Helper()
	began := time.Now()
	conn, err := net.DialTimeout("tcp", p.entry, patience)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	c := conn.(*net.TCPConn)
	if _, err := readAll(c, time.Second); !isTimeout(err) {
		t.Fatalf("%v after %v, want it to wait", err, time.Since(began))
	}
	p.set(jump)
	defer p.set(0)
	_, err = readAll(c, patience)
	if took := time.Since(began); !isReset(err) || took < 2900*time.Millisecond || took > 4*time.Second*idleFactor {
		t.Errorf("%v after %v, want a reset after 3 s", err, took)
	}
}

// TestClockJumpsPastAnExpiry: a session that runs goes on, and handshakes are judged
// by the time as it is now.
func TestClockJumpsPastAnExpiry(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	for _, c := range []struct {
		name, whose string
		issued      int // days ago: the client's certificate
		ahead       time.Duration
		says        string
	}{
		{"the-client's, by the provider's clock", "provider", 28, 3 * day, "the provider finds our certificate expired"},
		{"the provider's, by the client's clock", "client", 0, 40 * day, "the provider's certificate has expired"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			echo := newEcho(t)
			p := startClockedPair(t, echo, c.issued)
			stays := startSteady(t, p.entry)
			within(t, patience, func() bool { return stays.said.Load() > 10 })

			// Another client is there already and finds no way yet: with its own
			// certificate expired it would not even start.
			p.carrier.setRefuse(true)
			entry := "127.0.0.1:" + freePort(t)
			late := p.connect(entry)
			late.waitLog("provider not reached, will keep trying")
			p.clocks[c.whose].set(c.ahead)
			p.carrier.setRefuse(false)
			late.waitLog("provider not reached, will keep trying", c.says)
			said := stays.said.Load()
			within(t, patience, func() bool { return stays.said.Load() > said+100 })
			if err := visit(p.entry, random(2000)); err != nil {
				t.Error("a new stream of the session that runs:", err)
			}
			if n := p.client.count("session with the provider lost, connecting again"); n > 0 {
				t.Error("the session that ran was lost")
			}
			p.clocks[c.whose].set(0)
			late.waitLog("connected to the provider")
			if err := visit(entry, random(2000)); err != nil {
				t.Error("when the clock is right again:", err)
			}
			if err := stays.finish(); err != nil {
				t.Error("the stream that ran:", err)
			}
		})
	}
}
