//go:build unix

package integration

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// asNobody runs ambassador to its end as a user who may do nothing special.
func asNobody(t *testing.T, args ...string) (code int, stderr string) {
	t.Helper()
	chmod(t, filepath.Dir(ambassador), 0o755) // its own folder was made for its maker only
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, ambassador, args...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=/nonexistent"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	var errs strings.Builder
	cmd.Stderr = &errs
	_ = cmd.Run() // the exit code says it
	return cmd.ProcessState.ExitCode(), errs.String()
}

// One who may not look into the state directory is told so before all that then
// seems to be missing.
func TestAnotherUserIsToldThatItIsOne(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can become somebody else")
	}
	t.Parallel()
	dir := shortDir(t)
	chmod(t, dir, 0o755)
	state := filepath.Join(dir, "state")
	startProvider(t, state, "--link", "closed=127.0.0.1:1")
	code, stderr := asNobody(t, "doctor", "--state-dir", state)
	if code != 1 || !strings.Contains(stderr, "run doctor as the user that the ambassador runs as first") {
		t.Errorf("doctor: exit %d: %s", code, stderr)
	}
	code, stderr = asNobody(t, "status", "--state-dir", state)
	if code != 1 || !strings.Contains(stderr, state+" cannot be opened: permission denied: run this as the user") {
		t.Errorf("status: exit %d: %s", code, stderr)
	}
}
