package server

import (
	"context"
	"errors"
	"sync"
	"time"

	"ambassador/internal/live"
	"ambassador/mux"

	"go.uber.org/zap"
)

// checkAtMost is how often a client can make a backend be dialled.
const checkAtMost = time.Second

// errNoTable: nobody keeps what a check would find out.
var errNoTable = errors.New("server: nothing is known of backends without a table")

// Check brings what Table knows of the backends up to date: what is older than
// maxAge is found out by dialling, and the connection is reset at once. A check
// takes 2 s at most, and several callers share one. It fails when ctx is done
// before, after Close, and without a Table.
func (s *Server) Check(ctx context.Context, maxAge time.Duration) error {
	s.init()
	if s.Table == nil {
		return errNoTable
	}
	var ports []live.Port
	for _, l := range s.catalogue {
		for _, p := range l.Ports {
			ports = append(ports, live.Port{Link: l.Name, Number: p.Number})
		}
	}
	return s.checker.Check(ctx, ports, maxAge)
}

// checkBackend is the checker's dial.
func (s *Server) checkBackend(ctx context.Context, p live.Port) error {
	port, _ := s.catalogue[p.Link].Port(p.Number) // which is where it comes from
	return s.Dialer.Check(ctx, port.Target)
}

// asked counts the checks that a client waits for. A session that is not asked has
// no goroutine for them.
type asked struct {
	mu      sync.Mutex
	waiting int           // checks that came since the answer under way was begun, that one's included
	maxAge  time.Duration // the least that one of them asked for
}

// add counts one more, and says whether it is the first.
func (a *asked) add(maxAge time.Duration) (first bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.waiting == 0 || maxAge < a.maxAge {
		a.maxAge = maxAge
	}
	a.waiting++
	return a.waiting == 1
}

// begin gives what is to be answered.
func (a *asked) begin() (n int, maxAge time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.waiting, a.maxAge
}

// answered takes n off, and says whether there are more.
func (a *asked) answered(n int) (more bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.waiting -= n
	return a.waiting > 0
}

// answerCheck tells the client of the backends of its links. One answer is under
// way at a time, and stands for all checks that came before it was begun.
func (ss *session) answerCheck(maxAge time.Duration) {
	if ss.server.Table == nil || !ss.asked.add(max(maxAge, checkAtMost)) || !ss.grant.join(&ss.streams) {
		return
	}
	go func() {
		defer ss.streams.Done()
		ctx, cancel := context.WithCancel(ss.server.ctx)
		var watch sync.WaitGroup
		defer watch.Wait()
		defer cancel()
		watch.Go(func() {
			select {
			case <-ss.mux.Done():
				cancel()
			case <-ctx.Done():
			}
		})
		for {
			n, maxAge := ss.asked.begin()
			if err := ss.answer(ctx, maxAge); err != nil {
				ss.log().Debug("health could not be told", zap.Error(err)) // the session is over, or the server
				return
			}
			if !ss.asked.answered(n) {
				return
			}
		}
	}()
}

func (ss *session) answer(ctx context.Context, maxAge time.Duration) error {
	if err := ss.server.checker.Check(ctx, ss.ports(), maxAge); err != nil {
		return err
	}
	return ss.mux.Control().Send(mux.Message{Kind: mux.KindHealth, Health: ss.health()})
}

// ports are those of the links that the client may use.
func (ss *session) ports() []live.Port {
	var ports []live.Port
	for _, o := range ss.offers() {
		for _, number := range o.Ports {
			ports = append(ports, live.Port{Link: o.Name, Number: number})
		}
	}
	return ports
}

// health is what is known of their backends.
func (ss *session) health() []mux.Health {
	var all []mux.Health
	for _, p := range ss.ports() {
		h := ss.server.Table.Backend(p.Link, p.Number)
		if !h.Known {
			continue
		}
		told := mux.Health{Link: p.Link, Port: p.Number, OK: h.OK, Age: time.Since(h.At).Milliseconds(), Took: h.Took.Microseconds()}
		if !h.OK {
			told.Reason = h.Reason.String()
		}
		all = append(all, told)
	}
	return all
}
