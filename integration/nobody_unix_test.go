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
