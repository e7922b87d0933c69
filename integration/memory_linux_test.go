package integration

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"syscall"
	"testing"
)

// What a process has in its memory, keys and tokens, is in no core file, and no
// other process of its user can read it.
func TestMemoryIsRootsOnly(t *testing.T) {
	dir := t.TempDir()
	cmd := exec.Command("sh", "-c", `ulimit -c unlimited && exec "$@"`, "sh", ambassador,
		"serve", "--listen", "127.0.0.1:0", "--state-dir", dir+"/provider", "--link", "redis=127.0.0.1:1")
	cmd.Dir = dir
	p := begin(t, cmd, []string{"GOTRACEBACK=crash"})
	p.waitLog("serving")
	limits, err := os.ReadFile("/proc/" + strconv.Itoa(cmd.Process.Pid) + "/limits")
	if err != nil {
		t.Fatal(err)
	}
	if !regexp.MustCompile(`(?m)^Max core file size +0 +0 `).Match(limits) {
		t.Errorf("%s", limits)
	}
	p.signal(syscall.SIGQUIT) // ends by SIGABRT, after the stacks
	p.exit()
	if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || !status.Signaled() || status.CoreDump() {
		t.Errorf("ended with %v, want a signal and no core", cmd.ProcessState)
	}
	if cores, _ := filepath.Glob(dir + "/*core*"); len(cores) > 0 {
		t.Errorf("left %v", cores)
	}
}

func TestMemoryIsHiddenFromTheSameUser(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can run a process as somebody else")
	}
	dir := t.TempDir()
	token := invite(t, dir+"/provider", "web")
	client := dir + "/client"
	if err := errors.Join(os.Mkdir(client, 0o700), os.Chown(client, 65534, 65534)); err != nil {
		t.Fatal(err)
	}
	for _, d := range []string{filepath.Dir(ambassador), filepath.Dir(dir), dir} {
		chmod(t, d, 0o755)
	}
	nobody := &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	cmd := exec.Command(ambassador, "connect", "127.0.0.1:1", "--state-dir", client)
	cmd.SysProcAttr = nobody
	p := begin(t, cmd, []string{"AMBASSADOR_JOIN=" + token})
	p.waitLog("provider not reached to join, will keep trying")
	environ := "/proc/" + strconv.Itoa(cmd.Process.Pid) + "/environ"
	for _, file := range []string{environ, filepath.Dir(environ) + "/mem", filepath.Dir(environ) + "/maps"} {
		read := exec.Command("head", "-c1", file)
		read.SysProcAttr = nobody
		if text, err := read.CombinedOutput(); err == nil {
			t.Errorf("%s is open to the same user: %q", file, text)
		}
	}
	if text, err := os.ReadFile(environ); err != nil || len(text) == 0 {
		t.Errorf("root does not see it: %q, %v", text, err)
	}
	p.signal(syscall.SIGTERM)
	if code := p.exit(); code != 0 {
		t.Errorf("exit %d", code)
	}
}
