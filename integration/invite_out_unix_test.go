//go:build unix

package integration

import (
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// --out writes to what is there, as a shell's > does, and replaces regular files
// alone.
func TestTokenGoesWhereOutLeads(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	state := dir + "/provider"
	out := func(path string) (code int, stdout, stderr string) {
		return once(t, nil, "invite", "web", "--state-dir", state, "--out", path)
	}
	kind := func(path string) os.FileMode {
		info, err := os.Lstat(path)
		if err != nil {
			t.Fatal(err)
		}
		return info.Mode()
	}
	t.Run("a FIFO", func(t *testing.T) {
		fifo := dir + "/fifo"
		if err := syscall.Mkfifo(fifo, 0o600); err != nil {
			t.Fatal(err)
		}
		f, err := os.OpenFile(fifo, os.O_RDWR, 0) // so that nobody waits for the other end
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if code, _, stderr := out(fifo); code != 0 {
			t.Fatalf("exit %d: %s", code, stderr)
		}
		if kind(fifo)&os.ModeNamedPipe == 0 {
			t.Fatalf("it is %v now", kind(fifo))
		}
		text := make([]byte, 200)
		n, err := f.Read(text)
		if got := string(text[:n]); err != nil || !printedToken.MatchString(got) {
			t.Errorf("it was given %q, %v", got, err)
		}
	})
	t.Run("a symbolic link", func(t *testing.T) {
		write(t, dir+"/file", "before")
		if err := os.Symlink("file", dir+"/link"); err != nil {
			t.Fatal(err)
		}
		if code, _, stderr := out(dir + "/link"); code != 0 {
			t.Fatalf("exit %d: %s", code, stderr)
		}
		text, err := os.ReadFile(dir + "/file")
		if kind(dir+"/link")&os.ModeSymlink == 0 || err != nil || !printedToken.Match(text) || kind(dir+"/file").Perm() != 0o600 {
			t.Errorf("the link is %v, and leads to %q with %v, %v", kind(dir+"/link"), text, kind(dir+"/file"), err)
		}
	})
	t.Run("standard output", func(t *testing.T) {
		if code, stdout, stderr := out("/dev/fd/1"); code != 0 || !printedToken.MatchString(stdout) {
			t.Errorf("exit %d: %s%s", code, stdout, stderr)
		}
		// Which a shell may have led into a file.
		cmd := exec.Command("sh", "-c", `exec "$@" >"$0"`, dir+"/redirected", ambassador, "invite", "web", "--state-dir", state, "--out", "/dev/fd/1")
		if text, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, text)
		}
		text, err := os.ReadFile(dir + "/redirected")
		if err != nil || !printedToken.Match(text) || !strings.Contains(string(text), "wrote the token to /dev/fd/1") {
			t.Errorf("%q, %v", text, err)
		}
	})
	for name, path := range map[string]string{"a link that leads nowhere": dir + "/dangling", "a directory": dir} {
		t.Run(name, func(t *testing.T) {
			if path != dir {
				if err := os.Symlink("nowhere", path); err != nil {
					t.Fatal(err)
				}
			}
			before := openInvitations(t, state)
			if code, _, stderr := out(path); code != 1 || !strings.Contains(stderr, "--out: "+path+" is a ") {
				t.Errorf("exit %d: %s", code, stderr)
			}
			if after := openInvitations(t, state); after != before {
				t.Errorf("invitations before %s, and after %s", before, after)
			}
		})
	}
}

func openInvitations(t *testing.T, state string) string {
	t.Helper()
	code, stdout, stderr := once(t, nil, "invite", "list", "--state-dir", state)
	if code != 0 {
		t.Fatalf("exit %d: %s", code, stderr)
	}
	return stdout
}

// An invitation whose token could not be printed is nobody's.
func TestTokenThatNobodySees(t *testing.T) {
	t.Parallel()
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip(err) // Linux has it
	}
	defer full.Close()
	state := t.TempDir() + "/provider"
	for _, format := range []string{"text", "json"} {
		args := []string{"invite", "web", "--state-dir", state}
		if format == "json" {
			args = append(args, "-o", "json")
		}
		cmd := exec.Command(ambassador, args...)
		cmd.Stdout = full
		var stderr strings.Builder
		cmd.Stderr = &stderr
		if err := cmd.Run(); err == nil || !strings.Contains(stderr.String(), "no space left on device") {
			t.Errorf("%s: %v: %s", format, err, stderr.String())
		}
		if list := openInvitations(t, state); strings.Contains(list, "web") {
			t.Errorf("%s: left open: %s", format, list)
		}
	}
}
