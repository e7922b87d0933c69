package admin

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"time"

	"go.uber.org/zap"
)

// Limits of the dashboard's server. A person has a few pages open; all else is
// something that went wrong.
const (
	maxDashboardConns = 64
	maxWatchers       = 16 // pages that are fed by events; further ones ask again and again
	// writeWithin is how long one answer or event may take to be written. Who
	// reads slower is cut off, and comes again.
	writeWithin = 10 * time.Second
)

// Dashboard serves a page that shows an ambassador in a browser, read-only and
// without a login: whoever reaches its listener sees it. Fill in the fields and
// call Serve.
type Dashboard struct {
	Ambassador *Ambassador
	// Hosts are names and addresses that browsers may ask for the page by, besides
	// localhost and the address that they have connected to. Others are refused:
	// they may be an attacker's name that leads here (DNS rebinding).
	Hosts  []string
	Logger *zap.Logger // if nil, none

	start   sync.Once
	ctx     context.Context // of all that it does; ended by Close
	cancel  context.CancelFunc
	ending  sync.Mutex // nothing is added to running once ctx is done
	running sync.WaitGroup
	server  http.Server
	history history
	feed    feed
}

// Serve serves the page on a listener until Close, and returns nil then. It may be
// called once.
func (d *Dashboard) Serve(l net.Listener) error {
	d.init()
	if !d.enter() {
		return l.Close()
	}
	go d.watch()
	err := d.server.Serve(&bounded{Listener: l, places: make(chan struct{}, maxDashboardConns)})
	if errors.Is(err, http.ErrServerClosed) {
		err = nil
	}
	d.end()
	return err
}

// Close ends the page and all that feeds it.
func (d *Dashboard) Close() error {
	d.init()
	err := d.server.Close()
	d.end()
	return err
}

// enter counts something that runs, unless all has ended.
func (d *Dashboard) enter() bool {
	d.ending.Lock()
	defer d.ending.Unlock()
	if d.ctx.Err() != nil {
		return false
	}
	d.running.Add(1)
	return true
}

// end ends what runs, and waits for it.
func (d *Dashboard) end() {
	d.ending.Lock()
	d.cancel()
	d.ending.Unlock()
	d.running.Wait()
}

func (d *Dashboard) init() {
	d.start.Do(func() {
		if d.Logger == nil {
			d.Logger = zap.NewNop()
		}
		d.ctx, d.cancel = context.WithCancel(context.Background())
		d.feed.wake = make(chan struct{}, 1)
		d.server = http.Server{
			Handler: d.handler(),
			// The handlers read no bodies, so that the header is all that there is to
			// wait for. A ReadTimeout would end the events.
			ReadHeaderTimeout: 5 * time.Second,
			IdleTimeout:       time.Minute,
			MaxHeaderBytes:    16 << 10,
			ErrorLog:          zap.NewStdLog(d.Logger.WithOptions(zap.IncreaseLevel(zap.ErrorLevel))),
			BaseContext:       func(net.Listener) context.Context { return d.ctx },
		}
	})
}

// handler is all that is served.
func (d *Dashboard) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/feed", d.serveFeed)
	mux.HandleFunc("/frame", d.serveFrame)
	mux.HandleFunc("/history", d.serveHistory)
	mux.Handle("/", newPages())
	return &guard{hosts: d.Hosts, next: d.counted(mux)}
}

// counted has Close wait for handlers that run.
func (d *Dashboard) counted(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !d.enter() {
			return
		}
		defer d.running.Done()
		http.NewResponseController(w).SetWriteDeadline(time.Now().Add(writeWithin))
		next.ServeHTTP(w, r)
	})
}

// bounded takes no more connections at a time than there are places, and closes
// the others at once, so that they wait for nothing.
type bounded struct {
	net.Listener
	places chan struct{}
}

func (b *bounded) Accept() (net.Conn, error) {
	for {
		c, err := b.Listener.Accept()
		if err != nil {
			return nil, err
		}
		select {
		case b.places <- struct{}{}:
			return &placed{Conn: c, leave: sync.OnceFunc(func() { <-b.places })}, nil
		default:
			c.Close()
		}
	}
}
