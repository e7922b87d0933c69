package admin

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"go.uber.org/zap"
)

// guarded lets in whom mayControl does, and no more at a time than there are
// places.
type guarded struct {
	net.Listener
	log    *zap.Logger
	places chan struct{}
	// spare are places for those who are told that there is no other: see surplus.
	// Without them they are closed at once.
	spare chan struct{}
}

// Accept closes those who may not come in, so that they wait for nothing.
func (g *guarded) Accept() (net.Conn, error) {
	for {
		c, err := g.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if uc, ok := c.(*net.UnixConn); ok {
			if err := mayControl(uc); err != nil {
				g.log.Warn("control socket: connection refused", zap.Error(err))
				c.Close()
				continue
			}
		}
		select {
		case g.places <- struct{}{}:
			return &placed{Conn: c, leave: sync.OnceFunc(func() { <-g.places })}, nil
		default:
		}
		g.log.Debug("too many connections at a time", zap.Int("most", cap(g.places)))
		select {
		case g.spare <- struct{}{}:
			return &surplus{placed{Conn: c, leave: sync.OnceFunc(func() { <-g.spare })}, time.Now().Add(surplusWithin)}, nil
		default:
			c.Close()
		}
	}
}

// placed is a connection that gives its place away when it is closed.
type placed struct {
	net.Conn
	leave func()
}

func (p *placed) Close() error {
	defer p.leave()
	return p.Conn.Close()
}

// surplusWithin is how long one who is too many may take to hear so.
const surplusWithin = time.Second

// surplus is a connection beyond those that are answered: whoever asks on it hears
// why it is not, instead of a connection that breaks.
type surplus struct {
	placed
	over time.Time
}

func (s *surplus) SetDeadline(t time.Time) error {
	return s.Conn.SetDeadline(s.bounded(t))
}

func (s *surplus) SetReadDeadline(t time.Time) error {
	return s.Conn.SetReadDeadline(s.bounded(t))
}

func (s *surplus) SetWriteDeadline(t time.Time) error {
	return s.Conn.SetWriteDeadline(s.bounded(t))
}

func (s *surplus) bounded(t time.Time) time.Time {
	if t.IsZero() || t.After(s.over) {
		return s.over
	}
	return t
}

type surplusKey struct{}

// markSurplus is a http.Server's ConnContext, for tooMany.
func markSurplus(ctx context.Context, c net.Conn) context.Context {
	if _, is := c.(*surplus); is {
		return context.WithValue(ctx, surplusKey{}, true)
	}
	return ctx
}

// tooMany answers a request on a surplus connection, and says whether it was one.
func tooMany(w http.ResponseWriter, r *http.Request, most int) bool {
	if r.Context().Value(surplusKey{}) == nil {
		return false
	}
	w.Header().Set("Connection", "close")
	fail(w, &problem{http.StatusServiceUnavailable, fmt.Errorf("too many are asking: the ambassador answers %d connections at a time: end those that ask, or ask again later", most)})
	return true
}
