package link

import (
	"net/netip"
	"slices"
)

// isSelf says whether dialling addr reaches one of the bound listeners. One on
// the unspecified address is reached by every loopback address and by every
// address in local, the machine's own. Zones do not count.
func isSelf(addr netip.AddrPort, bound []netip.AddrPort, local []netip.Addr) bool {
	host := plain(addr.Addr())
	mine := host.IsLoopback() || host.IsUnspecified() ||
		slices.ContainsFunc(local, func(a netip.Addr) bool { return plain(a) == host })
	for _, b := range bound {
		if b.Port() != addr.Port() {
			continue
		}
		own := plain(b.Addr())
		if own == host || own.IsUnspecified() && mine || host.IsUnspecified() && own.IsLoopback() {
			return true
		}
	}
	return false
}

// plain makes addresses comparable: 10.0.0.5 and ::ffff:10.0.0.5 are one.
func plain(a netip.Addr) netip.Addr { return a.Unmap().WithZone("") }
