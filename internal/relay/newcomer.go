package relay

import (
	"sync"
	"time"
)

// settleAfter is the age at which a connection gets what only one that lasts has
// use for: a keepalive, and the watch for a reset that nobody reads. Most of a
// short request's time is system calls, and these are six of them.
const settleAfter = 50 * time.Millisecond

// newcomers are the ends that have not settled yet.
var newcomers young

type young struct {
	mu   sync.Mutex
	ends []*TCPEnd
}

func (y *young) add(e *TCPEnd) {
	y.mu.Lock()
	defer y.mu.Unlock()
	if len(y.ends) == 0 {
		time.AfterFunc(settleAfter, y.settle)
	}
	y.ends = append(y.ends, e)
}

// settle settles them all, some sooner than others.
func (y *young) settle() {
	y.mu.Lock()
	ends := y.ends
	y.ends = nil
	y.mu.Unlock()
	for _, e := range ends {
		e.settle()
	}
}

func (e *TCPEnd) settle() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return
	}
	// An error means that the connection is closed or reset, which the first read
	// tells better.
	_ = e.conn.SetKeepAliveConfig(keepAlive)
	e.watch()
}
