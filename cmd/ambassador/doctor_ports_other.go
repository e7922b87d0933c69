//go:build !linux

package main

import (
	"context"
	"net"
	"net/netip"
)

// tryBind says whether an address could be listened on, by doing so for a moment.
func tryBind(at netip.AddrPort) error {
	var lc net.ListenConfig
	l, err := lc.Listen(context.Background(), "tcp", at.String())
	if err != nil {
		return err
	}
	return l.Close()
}

// holderOf: there is no way to tell that needs no further program.
func holderOf(netip.AddrPort) holder { return holder{} }
