package link

import "syscall"

// holdBackACK has the kernel delay the ACK that completes a handshake, as it may
// for data to go with it (tcp(7), TCP_QUICKACK). A reset that follows at once
// replaces it, and the listener never learns of the connection. HAProxy's checks
// do the same.
func holdBackACK(raw syscall.RawConn) error {
	var opt error
	err := raw.Control(func(fd uintptr) {
		opt = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_QUICKACK, 0)
	})
	if err != nil {
		return err
	}
	return opt
}
