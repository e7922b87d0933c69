package live

// accountKey is whom and what is counted for. Both parts are from small sets: the
// clients that were let in, and the links that are offered.
type accountKey struct{ peer, link string }

// account counts for one key. The table's mu guards it.
type account struct {
	opened uint64
	ended  [Reasons]uint64
	done   Bytes // of streams that have ended
	dials  Histogram
}

// account finds or makes one. mu is held.
func (t *Table) account(k accountKey) *account {
	a := t.accounts[k]
	if a == nil {
		a = new(account)
		t.accounts[k] = a
	}
	return a
}

// state is the account without what runs.
func (a *account) state(k accountKey) *Account {
	return &Account{Peer: k.peer, Link: k.link, Opened: a.opened, Ended: a.ended, Bytes: a.done, DialSeconds: a.dials.clone()}
}
