package main

import (
	"sync/atomic"
	"time"

	"ambassador/certs"
	"ambassador/internal/admin"
)

// clientRecords has what the CA keeps of its clients ready for whoever asks.
type clientRecords struct {
	watch  *certs.Watch
	list   *certs.ClientList
	known  atomic.Pointer[[]admin.PeerFacts]
	failed bool
}

func newClientRecords(ca *certs.CA) *clientRecords {
	return &clientRecords{watch: certs.NewWatch(ca.GrantsPath()), list: certs.NewClientList(ca), failed: true}
}

// look reads those records that have changed. What cannot be read is missing: the
// log has it, from who reads the grants.
func (c *clientRecords) look() {
	if !c.watch.Changed() && !c.failed {
		return
	}
	records, err := c.list.Read()
	c.failed = err != nil
	peers := make([]admin.PeerFacts, len(records))
	for i, r := range records {
		peers[i] = admin.PeerFacts{Identity: r.Identity, Links: r.Links, Revoked: r.Revoked, NotAfter: lastEnd(r)}
	}
	c.known.Store(&peers)
}

func (c *clientRecords) peers() []admin.PeerFacts {
	if c == nil {
		return nil
	}
	if known := c.known.Load(); known != nil {
		return *known
	}
	return nil
}

// lastEnd is when the newest certificate of a client ends.
func lastEnd(r certs.ClientRecord) time.Time {
	if n := len(r.Certificates); n > 0 {
		return r.Certificates[n-1].NotAfter
	}
	return time.Time{}
}
