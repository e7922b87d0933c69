package admin

import (
	"net"
	"sync"

	"go.uber.org/zap"
)

// guarded lets in whom mayControl does, and no more at a time than there are
// places.
type guarded struct {
	net.Listener
	log    *zap.Logger
	places chan struct{}
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
			g.log.Debug("control socket: too many connections")
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
