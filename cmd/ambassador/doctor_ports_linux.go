package main

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// tryBind says whether an address could be listened on. The socket is bound and
// never listens: with SO_REUSEADDR, which Go's listeners have too, that keeps
// nobody from opening the port at that moment, while one that listens is in the
// way (socket(7)).
func tryBind(at netip.AddrPort) error {
	var to unix.Sockaddr
	family, ip := unix.AF_INET, at.Addr().Unmap()
	if ip.Is4() {
		to = &unix.SockaddrInet4{Port: int(at.Port()), Addr: ip.As4()}
	} else {
		family, to = unix.AF_INET6, &unix.SockaddrInet6{Port: int(at.Port()), Addr: ip.As16()}
	}
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	defer unix.Close(fd)
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
		return os.NewSyscallError("setsockopt", err)
	}
	if family == unix.AF_INET6 && ip.IsUnspecified() {
		// As Go does for ":7000": IPv4 connections come to it as well (ipv6(7)).
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 0); err != nil {
			return os.NewSyscallError("setsockopt", err)
		}
	}
	return os.NewSyscallError("bind", unix.Bind(fd, to))
}

// holderOf finds the process that listens on a port, by the inode of its socket
// (proc_pid_net(5)).
func holderOf(at netip.AddrPort) holder {
	inodes := append(listening("/proc/self/net/tcp", at), listening("/proc/self/net/tcp6", at)...)
	links, err := filepath.Glob("/proc/[0-9]*/fd/*")
	if err != nil || len(inodes) == 0 {
		return holder{}
	}
	for _, l := range links {
		target, err := os.Readlink(l)
		if err != nil || !slices.Contains(inodes, target) {
			continue
		}
		pid, _ := strconv.Atoi(strings.Split(l, "/")[2])
		name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
		if err != nil {
			continue // it has just ended
		}
		return holder{pid, strings.TrimSpace(string(name))}
	}
	return holder{}
}

// listening are the sockets in a table of the kernel's that listen on a port of an
// address, or of all addresses, as /proc/PID/fd shows them.
func listening(table string, at netip.AddrPort) []string {
	f, err := os.Open(table)
	if err != nil {
		return nil
	}
	defer f.Close()
	const listens = "0A" // TCP_LISTEN
	var found []string
	for lines := bufio.NewScanner(f); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if len(fields) < 10 || fields[3] != listens {
			continue
		}
		if local, ok := parseKernelAddress(fields[1]); ok && local.Port() == at.Port() && meets(local.Addr(), at.Addr()) {
			found = append(found, "socket:["+fields[9]+"]")
		}
	}
	return found
}

// parseKernelAddress reads HEX:PORT, whose address is in words of the host's byte
// order.
func parseKernelAddress(s string) (netip.AddrPort, bool) {
	word, port, ok := strings.Cut(s, ":")
	b, err := hex.DecodeString(word)
	n, errPort := strconv.ParseUint(port, 16, 16)
	if !ok || err != nil || errPort != nil || len(b)%4 != 0 {
		return netip.AddrPort{}, false
	}
	if littleEndian {
		for i := 0; i < len(b); i += 4 {
			slices.Reverse(b[i : i+4])
		}
	}
	addr, ok := netip.AddrFromSlice(b)
	return netip.AddrPortFrom(addr.Unmap(), uint16(n)), ok
}

var littleEndian = func() bool {
	var b [2]byte
	binary.NativeEndian.PutUint16(b[:], 1)
	return b[0] == 1
}()
