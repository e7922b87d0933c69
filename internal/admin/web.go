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

// What callers of a Web can hold, who need no certificate.
const (
	maxWebConns  = 64
	maxWebHeader = 16 << 10 // bytes
	askWithin    = 10 * time.Second
	answerWithin = 30 * time.Second
	idleFor      = 2 * time.Minute
	// endsWithin is what Close leaves to answers that are under way.
	endsWithin = time.Second
)

// Web serves pages on a TCP address, with bounds on what its callers can hold. Set
// the fields before Serve and do not change them afterwards.
type Web struct {
	// Handler must be set. Its requests have no bodies.
	Handler http.Handler
	// Logger is told of too many connections. If nil, nobody is.
	Logger *zap.Logger

	start  sync.Once
	log    *zap.Logger
	server *http.Server
}

func (w *Web) init() {
	w.start.Do(func() {
		w.log = w.Logger
		if w.log == nil {
			w.log = zap.NewNop()
		}
		w.server = &http.Server{
			Handler:           http.MaxBytesHandler(w.Handler, 0),
			ReadHeaderTimeout: askWithin, ReadTimeout: askWithin, WriteTimeout: answerWithin, IdleTimeout: idleFor,
			MaxHeaderBytes: maxWebHeader,
			// What a stranger sends is no news of ours.
			ErrorLog: zap.NewStdLog(w.log.WithOptions(zap.IncreaseLevel(zap.ErrorLevel))),
		}
	})
}

// Serve answers on a listener until Close, and returns nil then.
func (w *Web) Serve(l net.Listener) error {
	w.init()
	err := w.server.Serve(&guarded{Listener: l, log: w.log, places: make(chan struct{}, maxWebConns)})
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// Close ends it: what is being answered has a second left.
func (w *Web) Close() error {
	w.init()
	ctx, cancel := context.WithTimeout(context.Background(), endsWithin)
	defer cancel()
	if err := w.server.Shutdown(ctx); err != nil {
		return w.server.Close()
	}
	return nil
}
