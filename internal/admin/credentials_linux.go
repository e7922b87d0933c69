package admin

import (
	"fmt"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// mayControl lets in the own user and root. The file's mode says the same; this
// holds where a mode was changed, or a descriptor was handed on.
func mayControl(c *net.UnixConn) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var cred *unix.Ucred
	var sockopt error
	if err := raw.Control(func(fd uintptr) { cred, sockopt = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) }); err != nil {
		return err
	}
	if sockopt != nil {
		return sockopt
	}
	return judgeUser(cred.Uid, os.Geteuid())
}

func judgeUser(uid uint32, own int) error {
	if uid != 0 && uid != uint32(own) {
		return fmt.Errorf("user %d is neither this one (%d) nor root", uid, own)
	}
	return nil
}
