package live

// accountKey is whom and what is counted for. Both parts are from small sets: the
// clients that were let in, and the links that are offered.
type accountKey struct{ peer, link string }

// account counts for one key. The table's mu guards it.
type account struct {
	key    accountKey
	opened uint64 // running ones included
	ended  [Reasons]uint64
	done   Bytes // of streams that have ended
	dials  Histogram
}

// account finds or makes one. mu is held.
func (t *Table) account(k accountKey) *account {
	a := t.accounts[k]
	if a == nil {
		a = &account{key: k}
		t.accounts[k] = a
	}
	return a
}

// dropUnused forgets an account that has counted nothing: that of streams of
// which it was not known yet where they go. mu is held.
func (t *Table) dropUnused(a *account) {
	if a.opened == 0 {
		delete(t.accounts, a.key)
	}
}

// state is the account without what runs.
func (a *account) state() *Account {
	return &Account{Peer: a.key.peer, Link: a.key.link, Opened: a.opened, Ended: a.ended, Bytes: a.done, DialSeconds: a.dials.clone()}
}
