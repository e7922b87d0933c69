package live

import (
	"net"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds every wait for an event that has to come.
const patience = 10 * time.Second

// carrier is a session as the table sees one.
type carrier struct{ ended chan struct{} }

func newCarrier() *carrier { return &carrier{make(chan struct{})} }

func (c *carrier) RTT() time.Duration     { return 3 * time.Millisecond }
func (c *carrier) Silence() time.Duration { return time.Second }
func (c *carrier) RemoteAddr() net.Addr   { return address(7000) }
func (c *carrier) LocalAddr() net.Addr    { return address(7001) }
func (c *carrier) end()                   { close(c.ended) }

func address(port int) net.Addr { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: port} }

// flow is a relay as the table sees one.
type flow struct {
	mu      sync.Mutex
	in, out int64
	aborted string
}

func (f *flow) Bytes() (in, out int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.in, f.out
}

func (f *flow) carry(in, out int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.in, f.out = f.in+in, f.out+out
}

func (f *flow) Abort(why string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.aborted = why
}

// within fails the test if an event does not come.
func within(t *testing.T, what string, event <-chan struct{}) {
	t.Helper()
	select {
	case <-event:
	case <-time.After(patience):
		t.Fatal("never: ", what)
	}
}
