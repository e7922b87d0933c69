package main

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"syscall"

	"ambassador/client"
	"ambassador/internal/link"
)

// localPorts checks whether the ports that connect would open can be had.
func (d *diagnosis) localPorts(exposes []link.Expose, granted []client.Planned, host string) {
	var addresses []string
	seen := make(map[string]bool)
	add := func(address string) {
		if address != "" && !seen[address] {
			seen[address] = true
			addresses = append(addresses, address)
		}
	}
	// Those that are known without the provider are opened without it.
	for _, p := range client.Plan(exposes, nil, host) {
		add(p.Local)
	}
	for _, p := range granted {
		add(p.Local)
	}
	for _, a := range addresses[:min(len(addresses), mostTried)] {
		d.localPort(checkLocalPort, a, "connect", "give another with --expose LOCAL=REMOTE")
	}
}

// localPort checks one address. Held by an ambassador it is as it should be.
func (d *diagnosis) localPort(check, address, command, other string) {
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		d.fail(check, address, "no IP address and port", "write it as [IP:]PORT")
		return
	}
	err = tryBind(at)
	switch {
	case err == nil:
		d.ok(check, address, "free, for \"ambassador %s\" to open", command)
	case errors.Is(err, syscall.EADDRINUSE):
		holder := holderOf(at)
		switch {
		case d.running.holds(at):
			d.ok(check, address, "held by the ambassador that runs here (pid %d)", d.running.status.PID)
		case holder.program == "ambassador":
			d.ok(check, address, "held by %s", holder)
		case holder.pid == 0:
			d.warn(check, address, "taken, by a process that this user may not look at", fmt.Sprintf("if that is not an ambassador (\"ss -ltnp\" as root says), free it, or %s", other))
		default:
			d.fail(check, address, "taken by "+holder.String(), fmt.Sprintf("end that process (pid %d), or %s", holder.pid, other))
		}
	case errors.Is(err, syscall.EACCES):
		d.fail(check, address, "this user may not open it: ports below 1024 are for root", other+", or grant CAP_NET_BIND_SERVICE")
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		d.fail(check, address, "this host has no such address", "write an address of this host, 127.0.0.1 or 0.0.0.0")
	default:
		d.fail(check, address, err.Error(), other)
	}
}

// meets says whether two addresses to listen on stand in each other's way.
func meets(a, b netip.Addr) bool { return a == b || a.IsUnspecified() || b.IsUnspecified() }

// holder is the process that listens on a port; pid is 0 if that cannot be told.
type holder struct {
	pid     int
	program string
}

func (h holder) String() string { return fmt.Sprintf("%s (pid %d)", h.program, h.pid) }

// listenAddress is --listen as an address; without an IP it is all of them.
func listenAddress(listen string) (netip.AddrPort, error) {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return netip.AddrPort{}, err
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return netip.AddrPort{}, err
	}
	ip := netip.IPv6Unspecified()
	if !hasIPv6() {
		ip = netip.IPv4Unspecified()
	}
	if host != "" {
		if ip, err = netip.ParseAddr(host); err != nil {
			return netip.AddrPort{}, err
		}
	}
	return netip.AddrPortFrom(ip, uint16(n)), nil
}

// hasIPv6 says whether sockets of both families can be had, as net.Listen does for
// an address without a host.
func hasIPv6() bool {
	_, err := os.Stat("/proc/net/if_inet6")
	return err == nil
}
