package mux

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"go.uber.org/zap"
)

// Protocol is the ALPN name of sessions.
const Protocol = "ambassador/1"

// Options tune a session. The zero value is what both ambassadors use.
type Options struct {
	// PingAfter is the silence after which the peer is asked for a sign of
	// life. If zero, 15 s.
	PingAfter time.Duration
	// DeadAfter is the silence after which the session is given up, and the
	// longest that one batch may take to be written. If zero, 30 s.
	DeadAfter time.Duration
	// MaxStreams is the number of streams that the peer may have open, or has ended
	// while this side still works for them. One more is reset; a peer that opens more and does not read the resets loses the
	// session. If zero, 16384.
	MaxStreams int
	// SessionMemory bounds the bytes that the session's streams hold unread.
	// Over it the slowest stream is reset with ErrMemory. If zero, 256 MiB.
	SessionMemory int64
	// Memory bounds the same for several sessions together. If nil, the session
	// has one of its own.
	Memory *Memory
	// WornAfter is the number of TLS records that this side sends until AfterWorn
	// says that the session should be replaced. If zero, 2^22.
	WornAfter int64
	// Services are the other protocols of a provider, by their ALPN names. A
	// client has none.
	Services map[string]Service
	// Logger gets the session's debug lines. If nil, none are written.
	Logger *zap.Logger
}

// Defaults of Options.
const (
	defaultPingAfter  = 15 * time.Second
	defaultDeadAfter  = 30 * time.Second
	defaultMaxStreams = 16384
)

// closeWithin bounds the last words of a session that is closed in order, or how
// long the peer may take nothing of them.
const closeWithin = time.Second

func (o Options) withDefaults() Options {
	if o.PingAfter == 0 {
		o.PingAfter = defaultPingAfter
	}
	if o.DeadAfter == 0 {
		o.DeadAfter = defaultDeadAfter
	}
	if o.MaxStreams == 0 {
		o.MaxStreams = defaultMaxStreams
	}
	if o.SessionMemory == 0 {
		o.SessionMemory = defaultSessionMemory
	}
	if o.WornAfter == 0 {
		o.WornAfter = defaultWornAfter
	}
	if o.Memory == nil {
		o.Memory = new(Memory)
	}
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	return o
}

// Session is one authenticated connection between a client and a provider.
// All methods may be called by several goroutines at once.
type Session struct {
	tls      *tls.Conn
	wire     *wire
	out      *out
	life     *liveness
	memory   memory
	control  *Control
	wear     wear
	isClient bool
	log      *zap.Logger

	mu         sync.Mutex
	maxStreams int
	tooMany    bool // the log says that the peer opened more
	held       int  // streams that the peer opened and whose owner has not let go of them
	nextID     uint32
	streams    map[uint32]*Stream // every stream that a frame may still concern
	unread     map[uint32]*Stream // others that hold unread bytes; see memory
	accepts    []*Stream          // opened by the peer, not accepted yet
	acceptable sync.Cond
	handle     func(*Stream) // takes them instead; nil until Handle
	afterEnd   []func()
	retired    chan struct{} // nil until Retire; closed when no stream is left
	cause      error         // why the session ended; nil while it lives
	done       chan struct{} // closed when it ends
	unheard    chan struct{} // closed when nothing is read any more
	loops      sync.WaitGroup
}

// Client does the client's side of the TLS handshake on a dialled connection
// and opens the session's control stream. It closes conn if it fails. The
// provider has not judged our certificate yet when Client returns (RFC 8446
// §4.4.4): the first message on the control stream tells.
func Client(ctx context.Context, conn net.Conn, config *tls.Config, o Options) (*Session, error) {
	return start(ctx, conn, config, o, true)
}

// Server does the provider's side of the TLS handshake on an accepted
// connection. It closes conn if it fails, or was for one of the services: that
// is ErrService.
func Server(ctx context.Context, conn net.Conn, config *tls.Config, o Options) (*Session, error) {
	return start(ctx, conn, config, o, false)
}

func start(ctx context.Context, conn net.Conn, config *tls.Config, o Options, isClient bool) (*Session, error) {
	o = o.withDefaults()
	s, err := secure(ctx, conn, config, o, isClient)
	if err != nil {
		return nil, errors.Join(err, ignoreClosed(conn.Close()))
	}
	if err := s.carry(ctx, o); err != nil {
		s.end(err)
		return nil, err
	}
	return s, nil
}

// secure sets the socket up and does the handshake.
func secure(ctx context.Context, conn net.Conn, config *tls.Config, o Options, isClient bool) (*Session, error) {
	if tc, ok := conn.(*net.TCPConn); ok {
		if err := tuneSocket(tc, o.DeadAfter); err != nil {
			return nil, fmt.Errorf("setting socket options of %v: %w", conn.RemoteAddr(), err)
		}
	}
	config = config.Clone()
	config.NextProtos = []string{Protocol}
	// Small first records help browsers, not a tunnel that gathers batches.
	config.DynamicRecordSizingDisabled = true
	s := &Session{
		wire:     newWire(conn),
		isClient: isClient,
		log:      o.Logger,
		streams:  make(map[uint32]*Stream),
		done:     make(chan struct{}),
		unheard:  make(chan struct{}),
		nextID:   2,

		maxStreams: o.MaxStreams,
	}
	if isClient {
		s.nextID = 1
	}
	s.acceptable.L = &s.mu
	s.wear.left = o.WornAfter
	s.memory.s, s.memory.limit, s.memory.shared = s, o.SessionMemory, o.Memory
	if isClient {
		s.tls = tls.Client(s.wire, config)
	} else {
		s.tls = tls.Server(s.wire, byProtocol(config, o.Services))
	}
	if err := s.tls.HandshakeContext(ctx); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrAuthentication, s.blame(ctx, err))
	}
	if service, ok := o.Services[s.tls.ConnectionState().NegotiatedProtocol]; ok {
		return nil, service.serve(ctx, s.tls)
	}
	// crypto/tls lets a client that offers no ALPN at all pass.
	if s.tls.ConnectionState().NegotiatedProtocol != Protocol {
		return nil, ErrNoALPN
	}
	return s, nil
}

// blame says whose judgement a handshake has failed by, where that can be seen.
func (s *Session) blame(ctx context.Context, err error) error {
	var network net.Error
	var alert *net.OpError
	switch {
	case ctx.Err() != nil:
	case errors.As(err, &alert) && alert.Op == "remote error": // crypto/tls's word for an alert from the peer
		return &blamedError{ErrUntrusted, err}
	case errors.As(err, &network), errors.Is(err, io.EOF):
	case !s.isClient && s.tls.ConnectionState().Version != 0:
		// The hello was good: what a provider has left to judge is the client's
		// certificate (RFC 8446 §2). crypto/tls has no type for a missing one.
		return &blamedError{ErrCertificate, err}
	}
	return err
}

// blamedError is an error that is of a kind too, with its own text.
type blamedError struct{ kind, err error }

func (e *blamedError) Error() string   { return e.err.Error() }
func (e *blamedError) Unwrap() []error { return []error{e.kind, e.err} }

// carry starts the session's goroutines and sets up the control stream.
func (s *Session) carry(ctx context.Context, o Options) error {
	s.wire.cork(o.DeadAfter)
	s.out = newOut(s.sendBatch, s.goodbye, s.wire.setSlow)
	s.life = newLiveness(s, o.PingAfter, o.DeadAfter)
	o.Memory.join(&s.memory)
	s.loops.Go(func() {
		if err := s.out.flush(); err != nil {
			s.writeFailed(err)
		}
	})
	s.loops.Go(func() {
		defer close(s.unheard)
		s.fail(s.read())
	})
	s.life.start()
	return s.openControl(ctx)
}

// sendBatch encrypts a batch and hands it to the kernel.
func (s *Session) sendBatch(urgent, bulk []byte) error {
	for _, b := range [][]byte{urgent, bulk} {
		if len(b) == 0 {
			continue
		}
		if _, err := s.tls.Write(b); err != nil {
			return err
		}
		s.sent(len(b))
	}
	return s.wire.flush()
}

// died marks the session as ended, once, and aborts its streams.
func (s *Session) died(cause error) {
	s.mu.Lock()
	if s.cause != nil {
		s.mu.Unlock()
		return
	}
	s.cause = cause
	streams := s.streams
	s.streams = nil
	for _, st := range streams {
		s.keepUnreadLocked(st)
	}
	s.acceptable.Broadcast()
	close(s.done)
	for _, f := range s.afterEnd {
		go f()
	}
	lost := s.lostLocked()
	s.mu.Unlock()
	s.life.stop()
	s.memory.end()
	for _, st := range streams {
		st.abort(lost)
	}
}

// fail ends a session from within one of its own goroutines: it cuts the
// connection, and the reader and the flusher end by that.
func (s *Session) fail(cause error) {
	if !errors.Is(cause, ErrSessionLost) {
		cause = fmt.Errorf("%w: %w", ErrSessionLost, cause)
	}
	s.died(cause)
	s.cut()
}

// writeFailed ends the session, but lets the reader take what the peer had sent
// before: it comes to the connection's end by itself, or is stopped.
func (s *Session) writeFailed(err error) {
	_ = s.wire.SetReadDeadline(time.Now().Add(closeWithin)) // fails on a closed connection
	s.log.Debug("writing to the session failed", zap.Error(err))
}

// cut closes the connection without waiting for anybody.
func (s *Session) cut() {
	if s.out != nil {
		s.out.close()
	}
	_ = s.wire.Close() // it is given up either way
}

// end closes the session with a cause and waits for all its goroutines.
func (s *Session) end(cause error) {
	s.died(cause)
	s.cut()
	s.loops.Wait()
	s.dropUnowned()
}

// dropUnowned gives back what streams hold that nobody else will.
func (s *Session) dropUnowned() {
	s.mu.Lock()
	unowned := s.accepts
	s.accepts = nil
	s.mu.Unlock()
	if s.control != nil {
		unowned = append(unowned, s.control.stream)
	}
	for _, st := range unowned {
		st.drop()
	}
}

// Close ends the session and waits for its goroutines. What was written to
// streams before is sent first, as far as the peer takes it within a second.
// Streams that are still open are lost at both ends. Safe to call more than once.
func (s *Session) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), closeWithin)
	defer cancel()
	_ = s.Finish(ctx) // what did not go out in this time is given up
	return nil
}

// Finish is Close for a session whose streams have ended and whose last bytes
// matter: it goes on as long as the peer takes some every second, and ctx is not
// done. It fails if the peer may not have had all.
//
// The connection is not closed before the peer has closed it. Bytes that it sends
// after that, such as a window update, would be answered with a reset, and that
// throws away what our kernel has not sent yet (RFC 9293 §3.6.1).
func (s *Session) Finish(ctx context.Context) error {
	s.out.finishUp()
	err := s.whileTaken(ctx, s.out.done)
	s.died(ErrClosed)
	if err == nil {
		s.wire.closeWrite()
		err = s.whileTaken(ctx, s.unheard)
	}
	s.end(ErrClosed)
	return err
}

// errNotTaken: the last bytes of a session may be lost.
var errNotTaken = fmt.Errorf("mux: the peer took none of the session's last bytes for %v", closeWithin)

// whileTaken waits for done as long as the peer takes something every closeWithin
// and ctx is not done, and cuts the connection otherwise.
func (s *Session) whileTaken(ctx context.Context, done <-chan struct{}) error {
	look := time.NewTicker(closeWithin)
	defer look.Stop()
	for taken := s.wire.taken(); ; {
		select {
		case <-done:
			return nil
		case <-ctx.Done():
			s.cut()
			return ctx.Err()
		case <-look.C:
		}
		now := s.wire.taken()
		if now == taken {
			s.cut()
			return errNotTaken
		}
		taken = now
	}
}

// goodbye tells the peer that the end is meant: close_notify (RFC 8446 §6.1).
// The connection is closed next, whether or not the peer gets it. crypto/tls
// lets no write follow its alert, so that the alert must not be gathered.
func (s *Session) goodbye() {
	_ = s.wire.uncork()
	_ = s.tls.CloseWrite()
}

// Done is closed when the session has ended, for whatever reason.
func (s *Session) Done() <-chan struct{} { return s.done }

// AfterEnd has f called in a goroutine of its own when the session has ended, or
// now if it has. The session is still to be closed.
func (s *Session) AfterEnd(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cause != nil {
		go f()
		return
	}
	s.afterEnd = append(s.afterEnd, f)
}

// Err is nil while the session lives, then why it ended: ErrClosed, or an error
// that is ErrSessionLost.
func (s *Session) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cause
}

// lost is what a stream of an ended session fails with.
func (s *Session) lost() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lostLocked()
}

func (s *Session) lostLocked() error {
	if s.cause == nil || errors.Is(s.cause, ErrSessionLost) {
		return s.cause
	}
	return fmt.Errorf("%w: %w", ErrSessionLost, s.cause)
}

// stream is the stream of a number, nil if there is none.
func (s *Session) stream(id uint32) *Stream {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.streams[id]
}

// Retire makes the session take no more streams from this side, and returns a
// channel that is closed once the last one has ended. It does not close the
// session.
func (s *Session) Retire() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.retired == nil {
		s.retired = make(chan struct{})
		s.retireLocked()
	}
	return s.retired
}

// retireLocked tells Retire's caller when nothing but the control stream is
// left.
func (s *Session) retireLocked() {
	if s.retired == nil || len(s.streams) > 1 {
		return
	}
	select {
	case <-s.retired:
	default:
		close(s.retired)
	}
}

// Streams is the number of open streams, the control stream not counted.
func (s *Session) Streams() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return max(len(s.streams)-1, 0)
}

// Control is the session's control stream.
func (s *Session) Control() *Control { return s.control }

// TLS is what the handshake agreed on.
func (s *Session) TLS() tls.ConnectionState { return s.tls.ConnectionState() }

// LocalAddr and RemoteAddr are those of the connection.
func (s *Session) LocalAddr() net.Addr { return s.wire.LocalAddr() }

// RemoteAddr is the peer's address.
func (s *Session) RemoteAddr() net.Addr { return s.wire.RemoteAddr() }

func ignoreClosed(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}
