package integration

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

// TestRestartOfTheProviderUnderLoad replaces a provider by a new binary, three
// times, while consumers come and stay: none is refused and none is lost.
func TestRestartOfTheProviderUnderLoad(t *testing.T) {
	ways := map[string]func(t *testing.T, state, backend string) (start func(binary string) *process, address string){
		"with-so-reuseport":      startBeside,
		"with-a-passed-listener": startWithPassedListener,
	}
	for way, prepare := range ways {
		t.Run(way, func(t *testing.T) {
			echo := newEcho(t)
			dir := t.TempDir()
			issue(t, dir+"/provider", dir+"/client")
			start, address := prepare(t, dir+"/provider", "backend="+echo)
			old := start(ambassador)
			_, port, _ := net.SplitHostPort(echo)
			entry := "127.0.0.1:" + freePort(t)
			c := run(t, nil, "connect", address, "--state-dir", dir+"/client", "--expose", entry+"=backend:"+port)
			c.waitLog("connected to the provider")

			consumers := startLoad(entry, 8)
			for i := range 3 {
				stays := startSteady(t, entry)
				consumers.more(t, 100)
				binary := filepath.Join(dir, "ambassador-"+string(rune('a'+i)))
				copyFile(t, ambassador, binary)
				chmod(t, binary, 0o755)
				next := start(binary)
				old.signal(syscall.SIGTERM)
				old.waitLog("draining: no new connections, waiting for the running ones")
				next.waitLog("client connected")
				said := stays.said.Load()
				consumers.more(t, 200)
				within(t, patience, func() bool { return stays.said.Load() > said })
				if err := stays.finish(); err != nil {
					t.Errorf("a consumer that stayed on the old provider: %v", err)
				}
				if code := old.exit(); code != 0 {
					t.Errorf("the old provider: exit %d, want 0", code)
				}
				old = next
			}
			noErrors(t, consumers)
		})
	}
}

func startBeside(t *testing.T, state, link string) (start func(string) *process, address string) {
	address = "127.0.0.1:" + freePort(t)
	return func(binary string) *process {
		p := begin(t, exec.Command(binary, "serve", "--listen", address, "--reuse-port", "--state-dir", state, "--link", link), nil)
		p.waitLog("serving")
		return p
	}, address
}

// startWithPassedListener does what systemd does with a socket unit
// (sd_listen_fds(3)).
func startWithPassedListener(t *testing.T, state, link string) (start func(string) *process, address string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	file, err := l.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		file.Close()
		l.Close()
	})
	return func(binary string) *process {
		cmd := exec.Command("sh", "-c", `LISTEN_PID=$$ LISTEN_FDS=1 exec "$0" "$@"`, binary,
			"serve", "--listen", "127.0.0.1:1", "--state-dir", state, "--link", link)
		cmd.ExtraFiles = []*os.File{file}
		p := begin(t, cmd, nil)
		p.waitLog("serving", l.Addr().String())
		return p
	}, l.Addr().String()
}
