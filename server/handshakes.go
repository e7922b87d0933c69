package server

import (
	"container/list"
	"context"
	"net"
	"net/netip"
	"sync"
)

// handshakes bounds the connections that are not authenticated yet. One above
// the bound ends the oldest one of the network that holds most of them: a flood
// of silent connections then costs the flooder its own places, whatever its
// pace. Among networks that hold the same number the oldest gives way.
type handshakes struct {
	max int

	mu     sync.Mutex
	oldest list.List // of *unknown
	count  map[netip.Prefix]int
}

// unknown is a connection of which nobody knows yet whose it is.
type unknown struct {
	from   netip.Prefix
	cancel context.CancelFunc
}

// enter registers one by what ends it, and returns what to call when it is over.
func (h *handshakes) enter(from net.Addr, cancel context.CancelFunc) (leave func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.count == nil {
		h.count = make(map[netip.Prefix]int)
	}
	u := &unknown{network(from), cancel}
	e := h.oldest.PushBack(u)
	h.count[u.from]++
	if h.oldest.Len() > h.max {
		first := h.first()
		first.Value.(*unknown).cancel()
		h.remove(first)
	}
	return func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.remove(e)
	}
}

// first is the one to give way.
func (h *handshakes) first() *list.Element {
	first, most := h.oldest.Front(), 0
	for e := first; e != nil; e = e.Next() {
		if n := h.count[e.Value.(*unknown).from]; n > most {
			first, most = e, n
		}
	}
	return first
}

// remove does nothing for one that was removed already.
func (h *handshakes) remove(e *list.Element) {
	u := e.Value.(*unknown)
	if u.cancel == nil {
		return
	}
	u.cancel = nil
	h.oldest.Remove(e)
	if h.count[u.from]--; h.count[u.from] == 0 {
		delete(h.count, u.from)
	}
}

// network is where a connection comes from: an address, and of IPv6 the 64 bits
// of which a host has all addresses (RFC 4291 §2.5.1). What has none is one
// network together.
func network(a net.Addr) netip.Prefix {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.Prefix{}
	}
	ip := tcp.AddrPort().Addr().Unmap().WithZone("")
	bits := ip.BitLen()
	if ip.Is6() {
		bits = 64
	}
	p, err := ip.Prefix(bits)
	if err != nil {
		return netip.Prefix{} // no address at all
	}
	return p
}
