//go:build unix

package integration

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

func TestDoctorTellsOfALockThatIsHeld(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	issue(t, dir+"/provider", dir+"/client")
	lock, err := os.OpenFile(dir+"/provider/lock", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	examine(t, nil, "--state-dir", dir+"/provider", "--listen", "127.0.0.1:0", "--link", "echo="+newEcho(t)).
		suspects(t, "lock", "fuser")
}
