package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"ambassador/internal/link"
	"ambassador/internal/live"
	"ambassador/internal/relay"
	"ambassador/mux"

	"github.com/cenkalti/backoff/v5"
	"go.uber.org/zap"
)

// ErrClosed is returned by Serve after Shutdown or Close.
var ErrClosed = errors.New("server: closed")

// Defaults of Server.
const (
	defaultHandshakeTimeout = 10 * time.Second
	defaultMaxHandshakes    = 256
	defaultMaxHold          = 10 * time.Minute
	// defaultJudgeWithin is less than the 3 s that are promised: Reauthorize is
	// called each second, a little early or late, and the fourth call in a row is
	// to end the session. A revoked client has 5 s in all.
	defaultJudgeWithin = 2500 * time.Millisecond
)

// Peer is who a client is, and what it may use.
type Peer struct {
	Identity string
	// Links are the names of the links granted; "*" stands for all.
	Links []string
}

// Service is a protocol that is no session.
type Service = mux.Service

// Server offers links to clients. Set the fields before Serve and do not change
// them afterwards. Methods may be called by several goroutines at once.
type Server struct {
	// TLSConfig must be set, and ask for and verify client certificates.
	TLSConfig *tls.Config
	// Authorize says who the client of a session is. It must be set, and may be
	// called by several goroutines at once. An error refuses the client. What it
	// is told is a [*DeniedError]'s reason, or nothing; the error goes to the log.
	// Reauthorize calls it again for running sessions.
	Authorize func(tls.ConnectionState) (Peer, error)
	// Links is what is offered.
	Links []link.Link
	// Services are other protocols on the same port, by their ALPN names. A
	// connection for one of them counts as unauthenticated until it is over.
	Services map[string]Service
	// Dialer reaches backends. Its Self is replaced: the listeners that Serve
	// was given are refused.
	Dialer link.Dialer
	// Carrier tunes the sessions. If its Memory is nil, all sessions of the
	// server share one.
	Carrier mux.Options
	// Version is told to clients.
	Version string
	// HandshakeTimeout bounds the time from a connection to an authenticated
	// session. If zero, 10 s.
	HandshakeTimeout time.Duration
	// MaxHandshakes is the number of connections that may be unauthenticated at
	// a time. One more ends the oldest of the address, of IPv6 the /64, that has
	// most of them, so that silent connections cannot keep clients of other
	// networks out. If zero, 256.
	MaxHandshakes int
	// MaxStreams is the number of streams of all clients together that may be open.
	// One more is refused, and the client told why. If zero, 65536.
	MaxStreams int
	// MaxClientStreams is the same for one client, in all of its sessions
	// together. If zero, 16384.
	MaxClientStreams int
	// MaxClientDials is the number of connections to the backends of one link that
	// are being made for one client at a time. The next stream waits for its turn,
	// within its hold budget. If zero, 128.
	MaxClientDials int
	// MaxHold caps the hold budget that a client may ask for. If zero,
	// 10 min.
	MaxHold time.Duration
	// HalfClosedIdle is how long a stream of which one end has finished may be
	// silent the other way. If zero, 24 h; see internal/relay.
	HalfClosedIdle time.Duration
	// Table is told what happens. If nil, nothing is kept, and clients' checks are
	// not answered.
	Table *live.Table
	// LogSessions writes a line for every stream that ends at info level, not at
	// debug.
	LogSessions bool
	// Logger gets the server's lines. If nil, none are written.
	Logger *zap.Logger

	start      sync.Once
	began      time.Time
	log        *zap.Logger
	catalogue  map[string]link.Link
	grants     atomic.Uint64   // grows with each Reauthorize
	ctx        context.Context // ends with Close
	cancel     context.CancelFunc
	handshakes handshakes
	quota      quota
	seen       repeats
	checker    *live.Checker
	own        atomic.Pointer[func(netip.AddrPort) bool] // is it one of listeners?

	judgeWithin time.Duration // how long Reauthorize bears with an answer that fails

	mu        sync.Mutex
	listeners map[net.Listener]struct{}
	sessions  map[*session]struct{}
	clients   map[string]*clientQuota // by identity
	draining  bool
	idle      chan struct{} // closed when draining and the last session has ended
	running   sync.WaitGroup
}

func (s *Server) init() {
	s.start.Do(func() {
		s.began = time.Now()
		s.log = s.Logger
		if s.log == nil {
			s.log = zap.NewNop()
		}
		if s.HandshakeTimeout == 0 {
			s.HandshakeTimeout = defaultHandshakeTimeout
		}
		if s.MaxHandshakes == 0 {
			s.MaxHandshakes = defaultMaxHandshakes
		}
		if s.MaxStreams == 0 {
			s.MaxStreams = defaultMaxStreams
		}
		if s.MaxClientStreams == 0 {
			s.MaxClientStreams = defaultMaxClientStreams
		}
		if s.MaxClientDials == 0 {
			s.MaxClientDials = defaultMaxClientDials
		}
		if s.Carrier.MaxStreams == 0 {
			// The session's own limit resets without a word. It is for a peer that
			// opens more without waiting for what we say.
			s.Carrier.MaxStreams = 2 * s.MaxClientStreams
		}
		if s.MaxHold == 0 {
			s.MaxHold = defaultMaxHold
		}
		if s.judgeWithin == 0 {
			s.judgeWithin = defaultJudgeWithin
		}
		if s.Carrier.Memory == nil {
			s.Carrier.Memory = new(mux.Memory)
		}
		s.catalogue = make(map[string]link.Link, len(s.Links))
		for _, l := range s.Links {
			s.catalogue[l.Name] = l
		}
		relay.Reserve()
		s.ctx, s.cancel = context.WithCancel(context.Background())
		s.handshakes.max = s.MaxHandshakes
		s.listeners = make(map[net.Listener]struct{})
		s.sessions = make(map[*session]struct{})
		s.clients = make(map[string]*clientQuota)
		s.idle = make(chan struct{})
		s.Dialer.Self = s.isOwn
		s.Table.LogBackends(s.log)
		s.checker = live.NewChecker(s.Table, s.checkBackend)
	})
}

// Serve accepts sessions on l until Shutdown or Close, and returns ErrClosed
// then. It closes l. When it returns, accepted sessions may still be draining.
func (s *Server) Serve(l net.Listener) error {
	s.init()
	defer l.Close()
	if !s.addListener(l) {
		return ErrClosed
	}
	defer s.removeListener(l)
	pauses := backoff.ExponentialBackOff{InitialInterval: 5 * time.Millisecond, MaxInterval: time.Second, Multiplier: 2}
	pauses.Reset()
	for {
		c, err := l.Accept()
		if err != nil {
			if s.closing() {
				return ErrClosed
			}
			if errors.Is(err, net.ErrClosed) {
				return fmt.Errorf("accepting on %v: %w", l.Addr(), err)
			}
			// Out of descriptors, or a connection that was gone before it was
			// taken: accept(2) says to go on. A pause keeps this from spinning.
			pause := pauses.NextBackOff()
			s.seen.warn(s.log, "", "accept failed, trying again", err.Error(), zap.Error(err), zap.Duration("pause", pause))
			select {
			case <-time.After(pause):
			case <-s.ctx.Done():
			}
			continue
		}
		pauses.Reset()
		if !s.begin() {
			c.Close()
			return ErrClosed
		}
		go s.serveConn(c, s.running.Done)
	}
}

// begin counts one more connection, unless the server is closing.
func (s *Server) begin() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.draining {
		return false
	}
	s.running.Add(1)
	return true
}

func (s *Server) addListener(l net.Listener) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.draining {
		return false
	}
	s.listeners[l] = struct{}{}
	s.ownLocked()
	return true
}

func (s *Server) removeListener(l net.Listener) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.listeners, l)
	s.ownLocked()
}

// ownLocked keeps what isOwn knows up to date. s.mu is held.
func (s *Server) ownLocked() {
	addrs := make([]net.Addr, 0, len(s.listeners))
	for l := range s.listeners {
		addrs = append(addrs, l.Addr())
	}
	own := link.OwnListeners(addrs...)
	s.own.Store(&own)
}

// isOwn says whether an address is one of the listeners'. Sessions of one
// listener dial while another is added.
func (s *Server) isOwn(a netip.AddrPort) bool {
	own := s.own.Load()
	return own != nil && (*own)(a)
}

func (s *Server) closing() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.draining
}

// serveConn makes a session of an accepted connection and begins to serve it.
// ended is called when it is over.
func (s *Server) serveConn(c net.Conn, ended func()) {
	log := s.log.WithLazy(zap.Stringer("client_addr", c.RemoteAddr()))
	ss, err := s.handshake(c, log)
	if err == nil {
		ss.serve(ended)
		return
	}
	defer ended()
	s.countRefused(err)
	if refused := (*refusedError)(nil); errors.As(err, &refused) {
		s.Table.Event(live.Event{Kind: live.DoorClosed, Peer: refused.peer, Problem: true, Text: "client refused at the door: " + denialReason(refused.err)})
		s.seen.warn(log, "", "client refused", refused.Error(), zap.Error(err))
		return
	}
	if errors.Is(err, mux.ErrService) {
		log.Debug("connection for another protocol ended", zap.Error(err))
		return
	}
	// Scanners and strangers come every minute of the day: a debug line.
	log.Debug("connection refused before it was authenticated", zap.Error(err))
}

// handshake authenticates a connection: TLS, the peer's grant, and its hello.
func (s *Server) handshake(c net.Conn, log *zap.Logger) (*session, error) {
	crowded, giveWay := context.WithCancelCause(s.ctx)
	defer giveWay(nil)
	ctx, cancel := context.WithTimeout(crowded, s.HandshakeTimeout)
	defer cancel()
	defer s.handshakes.enter(c.RemoteAddr(), func() { giveWay(errCrowded) })()
	options := s.Carrier
	options.Logger = log
	options.Services = s.Services
	m, err := mux.Server(ctx, c, s.TLSConfig, options)
	if err != nil {
		return nil, becauseOf(ctx, err)
	}
	ss, err := s.welcome(ctx, m)
	if err != nil {
		return nil, becauseOf(ctx, errors.Join(err, m.Close()))
	}
	return ss, nil
}

func (s *Server) welcome(ctx context.Context, m *mux.Session) (*session, error) {
	defer context.AfterFunc(ctx, func() { m.Close() })()
	hello, err := m.Control().Receive()
	if err != nil {
		return nil, err
	}
	if hello.Kind != mux.KindHello {
		return nil, fmt.Errorf("%w: first message is %q, expected %q", mux.ErrProtocol, hello.Kind, mux.KindHello)
	}
	asOf := s.grants.Load()
	peer, err := s.Authorize(m.TLS())
	if err != nil {
		// Its certificate is good, so it may know that it is not this that fails.
		return nil, errors.Join(&refusedError{err, nameOf(m.TLS())}, m.Control().Send(mux.Message{Kind: mux.KindRefuse, Reason: denialReason(err)}))
	}
	ss := newSession(s, m, peer, hello.Version)
	ss.visit = hello.Visit
	// It is known before the client is: a drain from here on tells it, behind the
	// welcome.
	if !s.addSession(ss) {
		return nil, ErrClosed
	}
	if s.grants.Load() != asOf {
		// What changed meanwhile may have come too early to find the session.
		err = ss.reauthorize()
	}
	if err == nil {
		err = m.Control().Send(mux.Message{Kind: mux.KindWelcome, Version: s.Version, Links: ss.offers(), Time: time.Now().UTC(), Checks: s.Table != nil})
	}
	close(ss.welcomed)
	if err != nil {
		ss.abandon()
		return nil, err
	}
	return ss, nil
}

// refusedError is an authenticated client to whom Authorize said no: not a
// stranger, but one whose grant an operator may have forgotten.
type refusedError struct {
	err  error
	peer string
}

func (e *refusedError) Error() string { return e.err.Error() }
func (e *refusedError) Unwrap() error { return e.err }

func (s *Server) addSession(ss *session) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.draining {
		return false
	}
	s.sessions[ss] = struct{}{}
	ss.quota = s.quotaLocked(ss.peer.Identity)
	return true
}

func (s *Server) removeSession(ss *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.sessions, ss)
	s.leaveQuotaLocked(ss.peer.Identity)
	s.idleLocked()
}

func (s *Server) idleLocked() {
	if s.draining && len(s.sessions) == 0 {
		select {
		case <-s.idle:
		default:
			close(s.idle)
		}
	}
}

// Shutdown stops accepting, tells every client to go elsewhere, refuses new
// streams and waits until the running ones have ended or ctx is done. Then it
// closes what is left: with ctx's error if streams were cut. nil means that
// nothing was.
func (s *Server) Shutdown(ctx context.Context) error {
	s.init()
	s.drain()
	var err error
	select {
	case <-s.idle:
	case <-ctx.Done():
		if s.busy() {
			err = ctx.Err()
		}
	}
	return errors.Join(err, s.Close())
}

// busy says whether any session carries a stream.
func (s *Server) busy() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for ss := range s.sessions {
		if ss.live.Load() > 0 {
			return true
		}
	}
	return false
}

func (s *Server) drain() {
	s.mu.Lock()
	if !s.draining {
		s.Table.Event(live.Event{Kind: live.Drained, Text: fmt.Sprintf("draining: no new sessions, %d are told to go elsewhere", len(s.sessions))})
	}
	s.draining = true
	for l := range s.listeners {
		l.Close()
	}
	var sessions []*session
	for ss := range s.sessions {
		sessions = append(sessions, ss)
	}
	s.idleLocked()
	s.mu.Unlock()
	for _, ss := range sessions {
		ss.drain()
	}
}

// Close ends everything at once. Consumers and backends see resets. It waits
// for the server's goroutines. Safe to call more than once.
func (s *Server) Close() error {
	s.init()
	s.mu.Lock()
	s.draining = true
	for l := range s.listeners {
		l.Close()
	}
	s.idleLocked()
	s.mu.Unlock()
	s.cancel() // ends handshakes and sessions
	s.checker.Close()
	s.running.Wait()
	return nil
}
