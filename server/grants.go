package server

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"ambassador/internal/live"
	"ambassador/internal/relay"
	"ambassador/mux"

	"go.uber.org/zap"
)

// DeniedError is what Authorize returns for a client that is known and is not
// served, or not any more. Reauthorize ends its sessions.
type DeniedError struct {
	Reason string // the client is told; such as "this client is revoked"
	Err    error  // for the log
}

func (e *DeniedError) Error() string { return e.Err.Error() }

// Unwrap returns Err.
func (e *DeniedError) Unwrap() error { return e.Err }

// denialReason is what a client that is refused may know of it.
func denialReason(err error) string {
	if denied := (*DeniedError)(nil); errors.As(err, &denied) && denied.Reason != "" {
		return denied.Reason
	}
	return "the provider grants this client nothing"
}

// Reauthorize asks Authorize again for every session, after grants have changed.
// A session whose client is denied ends at once; streams of links that were
// withdrawn are reset; and clients whose links changed are told.
//
// Where Authorize fails otherwise the error is returned: call Reauthorize again
// then, each second. A session that could not be judged for 3 s of calls ends: a
// client could keep the question from being answered for ever, such as by using
// up the process's descriptors, and the end of its session frees them. It may
// come back, and is asked about again.
func (s *Server) Reauthorize() error {
	s.init()
	s.grants.Add(1)
	s.mu.Lock()
	sessions := make([]*session, 0, len(s.sessions))
	for ss := range s.sessions {
		sessions = append(sessions, ss)
	}
	s.mu.Unlock()
	var errs []error
	for _, ss := range sessions {
		err := ss.reauthorize()
		if denied := (*DeniedError)(nil); !errors.As(err, &denied) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// reauthorize does it for one session. One that is denied is over when it
// returns.
func (ss *session) reauthorize() error {
	peer, err := ss.server.Authorize(ss.mux.TLS())
	if denied := (*DeniedError)(nil); errors.As(err, &denied) {
		ss.log().Warn("client is denied, ending its session", zap.Error(err), zap.Int("streams", ss.mux.Streams()))
		ss.event(live.Event{Kind: live.DoorClosed, Problem: true, Text: "client denied, its session ends: " + denialReason(err)})
		ss.grant.set(nil, live.ClientDenied)
		ss.cut(denialReason(err))
		return err
	}
	if err != nil {
		if since := ss.grant.doubt(time.Now()); since >= ss.server.judgeWithin {
			ss.log().Warn("what the client may use could not be found out, ending its session", zap.Error(err),
				zap.Duration("for", since), zap.Int("streams", ss.mux.Streams()))
			ss.event(live.Event{Kind: live.DoorClosed, Problem: true, Text: "what the client may use could not be found out, its session ends"})
			ss.grant.set(nil, live.ClientDenied)
			ss.cut("the provider could not find out what this client may use")
		}
		return err
	}
	ss.grant.settle()
	before := len(ss.offers())
	if changed, reset := ss.grant.set(peer.Links, live.LinkWithdrawn); changed {
		ss.log().Info("the client's links have changed", zap.Int("links_before", before),
			zap.Int("links", len(ss.offers())), zap.Int("streams_reset", reset))
		ss.event(live.Event{Kind: live.LinksChanged, Text: fmt.Sprintf("the client may use %d links now, before %d; streams reset: %d", len(ss.offers()), before, reset)})
		ss.tellLinks()
	}
	return nil
}

// event keeps what has happened to the session's client.
func (ss *session) event(e live.Event) {
	e.Peer = ss.peer.Identity
	ss.server.Table.Event(e)
}

// cut ends the session within a second or two, and says why: a client that reads
// nothing cannot delay it.
func (ss *session) cut(reason string) {
	if ss.grant.join(&ss.streams) {
		go func() {
			defer ss.streams.Done()
			late := time.AfterFunc(time.Second, func() { ss.mux.Close() })
			defer late.Stop()
			// It fails when the client hears nothing, or has gone.
			_ = ss.mux.Control().Send(mux.Message{Kind: mux.KindRefuse, Reason: reason})
			ss.mux.Close()
		}()
	}
}

// abandon takes back a session that was made known and is not served. Its last
// words go out first; the handshake's time bounds them.
func (ss *session) abandon() {
	ss.server.removeSession(ss)
	ss.grant.end()
	ss.streams.Wait()
	ss.mux.Close()
	ss.cancel()
}

// tellLinks sends the catalogue once more, as it is by then.
func (ss *session) tellLinks() {
	if !ss.grant.join(&ss.streams) {
		return // the session is over
	}
	go func() {
		defer ss.streams.Done()
		<-ss.welcomed
		ss.telling.Lock() // the last one to send sends the newest
		defer ss.telling.Unlock()
		if err := ss.mux.Control().Send(mux.Message{Kind: mux.KindLinks, Links: ss.offers()}); err != nil {
			ss.log().Debug("links could not be sent", zap.Error(err)) // the session has ended
		}
	}()
}

// grant is what a session's client may use, and what it uses.
type grant struct {
	mu      sync.Mutex
	links   []string
	running map[*relay.Relay]string // streams, by their links
	why     live.Reason             // of the last change: what is not covered ended by it
	ended   bool
	doubted time.Time // since when a change could not be judged; zero if it was
}

// doubt says for how long the client could not be judged, from the first time on.
func (g *grant) doubt(now time.Time) time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.doubted.IsZero() {
		g.doubted = now
	}
	return now.Sub(g.doubted)
}

// settle ends a doubt.
func (g *grant) settle() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.doubted = time.Time{}
}

func (g *grant) covers(link string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.coversLocked(link)
}

func (g *grant) coversLocked(link string) bool {
	return slices.Contains(g.links, link) || slices.Contains(g.links, "*")
}

// enter registers a stream that runs until leave: Running. For a link that is not
// granted any more it says why.
func (g *grant) enter(link string, r *relay.Relay) live.Reason {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.coversLocked(link) {
		return g.why
	}
	if g.running == nil {
		g.running = make(map[*relay.Relay]string)
	}
	g.running[r] = link
	return live.Running
}

func (g *grant) leave(r *relay.Relay) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.running, r)
}

// abort resets all streams that run.
func (g *grant) abort(why live.Reason) {
	g.mu.Lock()
	running := slices.Collect(maps.Keys(g.running))
	g.mu.Unlock()
	for _, r := range running {
		r.Abort(why.String())
	}
}

// set changes the grant and resets the streams that it does not cover any more.
func (g *grant) set(links []string, why live.Reason) (changed bool, reset int) {
	g.mu.Lock()
	changed = !slices.Equal(g.links, links)
	g.links, g.why = links, why
	var withdrawn []*relay.Relay
	for r, link := range g.running {
		if !g.coversLocked(link) {
			withdrawn = append(withdrawn, r)
		}
	}
	g.mu.Unlock()
	for _, r := range withdrawn {
		r.Abort(why.String())
	}
	return changed, len(withdrawn)
}

// join counts one more goroutine of the session, unless it is over.
func (g *grant) join(streams *sync.WaitGroup) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.ended {
		streams.Add(1)
	}
	return !g.ended
}

// end lets nobody join any more.
func (g *grant) end() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.ended = true
}
