package integration

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math/big"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"ambassador/client"
	"ambassador/internal/link"
	"ambassador/internal/live"
	"ambassador/mux"
	"ambassador/server"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

// told is a pair in this process of which both tables and logs are looked at.
type told struct {
	t        *testing.T
	backend  net.Listener
	carrier  *cuttable // between the two
	provider *server.Server
	client   *client.Client
	entry    string
	logs     map[string]*observer.ObservedLogs // by side
	denied   atomic.Bool
	links    atomic.Pointer[[]string] // granted
}

// options change what a row needs otherwise.
type toldOptions struct {
	target   link.Target // if not the backend's
	resolver *net.Resolver
	limit    int // MaxClientStreams
	memory   int64
	hold     time.Duration
}

const (
	toldClient   = "spiffe://test/client/web"
	toldProvider = "spiffe://test/provider/big"
)

func tell(t *testing.T, o toldOptions) *told {
	t.Helper()
	p := &told{t: t, backend: listenLocal(t), logs: make(map[string]*observer.ObservedLogs)}
	p.links.Store(&[]string{"redis"})
	if o.target == (link.Target{}) {
		o.target = targetOf(p.backend.Addr())
	}
	logger := func(side string) *zap.Logger {
		core, logs := observer.New(zap.DebugLevel)
		p.logs[side] = logs
		return zap.New(core)
	}
	p.provider = &server.Server{
		TLSConfig: throwAway(t, toldProvider), Table: new(live.Table), LogSessions: true, Logger: logger("provider"), Version: "p1",
		Links:  []link.Link{{Name: "redis", Ports: []link.Port{{Number: 6379, Target: o.target}}}},
		Dialer: link.Dialer{Resolver: o.resolver}, MaxClientStreams: o.limit,
		Authorize: func(tls.ConnectionState) (server.Peer, error) {
			if p.denied.Load() {
				return server.Peer{}, &server.DeniedError{Reason: "revoked", Err: errors.New("revoked")}
			}
			return server.Peer{Identity: toldClient, Links: *p.links.Load()}, nil
		},
	}
	l := listenLocal(t)
	served := make(chan error, 1)
	go func() { served <- p.provider.Serve(l) }()
	t.Cleanup(func() {
		p.provider.Close()
		<-served
	})
	p.carrier = cuttableTo(t, l.Addr().String())
	entry := listenLocal(t)
	p.entry = entry.Addr().String()
	p.client = &client.Client{
		Provider: p.carrier.Addr().String(), TLSConfig: throwAway(t, toldClient), Table: new(live.Table), LogSessions: true,
		Logger: logger("client"), Version: "c1", Hold: o.hold, Carrier: mux.Options{SessionMemory: o.memory},
		Expose: []link.Expose{{Local: 6379, Link: "redis", Port: 6379}},
		Listen: func(_, _ string) (net.Listener, error) { return entry, nil },
	}
	ran := make(chan error, 1)
	go func() { ran <- p.client.ListenAndServe() }()
	t.Cleanup(func() {
		p.client.Close()
		<-ran
	})
	<-p.client.Bound()
	return p
}

// throwAway is a configuration for either side with one identity.
func throwAway(t *testing.T, identity string) *tls.Config {
	t.Helper()
	id, err := url.Parse(identity)
	if err != nil {
		t.Fatal(err)
	}
	a := testAuthority()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		URIs: []*url.URL{id}, DNSNames: []string{"test"}, KeyUsage: x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, RootCAs: a.pool, ClientCAs: a.pool,
		ServerName: "test", ClientAuth: tls.RequireAndVerifyClientCert, MinVersion: tls.VersionTLS13, SessionTicketsDisabled: true,
	}
}

type authority struct {
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
	pool *x509.CertPool
}

var testAuthority = sync.OnceValue(func() *authority {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		panic(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	a := &authority{key: key, cert: cert, pool: x509.NewCertPool()}
	a.pool.AddCert(cert)
	return a
})

func listenLocal(t *testing.T) net.Listener {
	t.Helper()
	lc := net.ListenConfig{}
	lc.SetMultipathTCP(false)
	l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func targetOf(a net.Addr) link.Target {
	at := a.(*net.TCPAddr)
	return link.Target{Host: at.IP.String(), Port: uint16(at.Port)}
}

// cuttable leads connections on until they are cut.
type cuttable struct {
	net.Listener
	mu    sync.Mutex
	conns []net.Conn
}

func cuttableTo(t *testing.T, address string) *cuttable {
	t.Helper()
	c := &cuttable{Listener: listenLocal(t)}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			in, err := c.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", address)
			if err != nil {
				in.Close()
				continue
			}
			c.mu.Lock()
			c.conns = append(c.conns, in, out)
			c.mu.Unlock()
			for _, way := range [][2]net.Conn{{in, out}, {out, in}} {
				running.Go(func() {
					io.Copy(way[0], way[1])
					way[0].(*net.TCPConn).CloseWrite()
				})
			}
		}
	})
	t.Cleanup(func() {
		c.Close()
		c.cut()
		running.Wait()
	})
	return c
}

func (c *cuttable) cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, conn := range c.conns {
		conn.(*net.TCPConn).SetLinger(0)
		conn.Close()
	}
	c.conns = nil
}

// dial makes a consumer.
func (p *told) dial() *net.TCPConn {
	p.t.Helper()
	c, err := net.Dial("tcp", p.entry)
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { c.Close() })
	return c.(*net.TCPConn)
}

// knock makes a consumer that may be reset before it knows that it is connected.
func (p *told) knock() {
	p.t.Helper()
	c, err := net.Dial("tcp", p.entry)
	if err == nil {
		p.t.Cleanup(func() { c.Close() })
	} else if !errors.Is(err, syscall.ECONNRESET) {
		p.t.Fatal(err)
	}
}

// connected makes a consumer that has exchanged bytes with the backend.
func (p *told) connected() (consumer, backend *net.TCPConn) {
	p.t.Helper()
	consumer = p.dial()
	c, err := p.backend.Accept()
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { c.Close() })
	backend = c.(*net.TCPConn)
	exchange(p.t, consumer, backend)
	return consumer, backend
}

func reset(t *testing.T, c *net.TCPConn) {
	t.Helper()
	if err := errors.Join(c.SetLinger(0), c.Close()); err != nil {
		t.Fatal(err)
	}
}

func (p *told) tables() map[string]*live.Table {
	return map[string]*live.Table{"provider": p.provider.Table, "client": p.client.Table}
}

// running is the one stream of a side.
func (p *told) running(side string) live.StreamState {
	p.t.Helper()
	all := p.tables()[side].Snapshot(true).Streams
	if len(all) != 1 {
		p.t.Fatalf("%d streams run on the %s", len(all), side)
	}
	return all[0]
}

// ended waits until one stream of a side has ended, and gives its line.
func (p *told) ended(side string, want live.Reason) map[string]any {
	p.t.Helper()
	count := func() (n, others uint64) {
		for _, a := range p.tables()[side].Snapshot(false).Accounts {
			for r, ended := range a.Ended {
				if live.Reason(r) == want {
					n += ended
				} else {
					others += ended
				}
			}
		}
		return n, others
	}
	within(p.t, patience, func() bool {
		n, others := count()
		return n+others > 0 && p.logs[side].FilterMessage("stream ended").Len() > 0
	})
	lines := p.logs[side].FilterMessage("stream ended").FilterLevelExact(zap.InfoLevel).All()
	if n, others := count(); n != 1 || others != 0 || len(lines) != 1 {
		p.t.Fatalf("%s: %d streams ended as %v, %d as something else, lines: %v; client %v", side, n, want, others, lines, p.logs["client"].All())
	}
	l := lines[0].ContextMap()
	if l["close_reason"] != want.String() {
		p.t.Errorf("%s: the log says %v, want %v", side, l["close_reason"], want)
	}
	return l
}

// A stream's end has the same word on both sides, in table and log alike, whoever
// ended it.
func TestCloseReasons(t *testing.T) {
	nobody := listenLocal(t)
	nobody.Close()
	failing := &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		return nil, errors.New("no name server")
	}}
	for name, row := range map[string]struct {
		options          toldOptions
		stage            func(t *testing.T, p *told)
		client, provider live.Reason
	}{
		"consumer finishes first": {toldOptions{}, func(t *testing.T, p *told) {
			consumer, backend := p.connected()
			consumer.CloseWrite()
			io.Copy(io.Discard, backend)
			backend.Close()
		}, live.ConsumerClosed, live.ConsumerClosed},
		"backend finishes first": {toldOptions{}, func(t *testing.T, p *told) {
			consumer, backend := p.connected()
			backend.CloseWrite()
			io.Copy(io.Discard, consumer)
			consumer.Close()
		}, live.BackendClosed, live.BackendClosed},
		"consumer aborts": {toldOptions{}, func(t *testing.T, p *told) {
			consumer, _ := p.connected()
			reset(t, consumer)
		}, live.ConsumerReset, live.ConsumerReset},
		"backend aborts": {toldOptions{}, func(t *testing.T, p *told) {
			_, backend := p.connected()
			reset(t, backend)
		}, live.BackendReset, live.BackendReset},
		"session is cut": {toldOptions{}, func(t *testing.T, p *told) {
			p.connected()
			p.carrier.cut()
		}, live.SessionLost, live.SessionLost},
		"client is closed": {toldOptions{}, func(t *testing.T, p *told) {
			p.connected()
			p.client.Close()
		}, live.DrainTimeout, live.DrainTimeout},
		"provider is closed": {toldOptions{}, func(t *testing.T, p *told) {
			p.connected()
			p.provider.Close()
		}, live.DrainTimeout, live.DrainTimeout},
		"link is withdrawn": {toldOptions{}, func(t *testing.T, p *told) {
			p.connected()
			p.links.Store(new([]string))
			if err := p.provider.Reauthorize(); err != nil {
				t.Error(err)
			}
		}, live.LinkWithdrawn, live.LinkWithdrawn},
		"client is denied": {toldOptions{}, func(t *testing.T, p *told) {
			p.connected()
			p.denied.Store(true)
			p.provider.Reauthorize()
		}, live.ClientDenied, live.ClientDenied},
		"stream is killed on the provider": {toldOptions{}, func(t *testing.T, p *told) {
			consumer, backend := p.connected()
			p.provider.Table.KillStream(p.running("provider").ID)
			aborted(t, consumer, backend)
		}, live.Killed, live.Killed},
		"stream is killed on the client": {toldOptions{}, func(t *testing.T, p *told) {
			consumer, backend := p.connected()
			p.client.Table.KillStream(p.running("client").ID)
			aborted(t, consumer, backend)
		}, live.Killed, live.Killed},
		"session is killed on the provider": {toldOptions{}, func(t *testing.T, p *told) {
			consumer, backend := p.connected()
			p.provider.Table.KillSession(p.running("provider").Session)
			aborted(t, consumer, backend)
			p.reconnects()
		}, live.Killed, live.Killed},
		"session is killed on the client": {toldOptions{}, func(t *testing.T, p *told) {
			consumer, backend := p.connected()
			p.client.Table.KillSession(p.running("client").Session)
			aborted(t, consumer, backend)
			p.reconnects()
		}, live.Killed, live.Killed},
		"nothing listens": {toldOptions{target: targetOf(nobody.Addr()), hold: -1}, func(t *testing.T, p *told) {
			p.session()
			p.knock()
		}, live.BackendRefused, live.BackendRefused},
		"name is not known": {toldOptions{target: link.Target{Host: "nowhere.test", Port: 1}, resolver: failing, hold: time.Second}, func(t *testing.T, p *told) {
			p.session()
			p.knock()
		}, live.BackendUnknown, live.BackendUnknown},
		"reader stops": {toldOptions{memory: 128 << 10}, func(t *testing.T, p *told) {
			_, backend := p.connected()
			block := make([]byte, 64<<10)
			for backend.SetWriteDeadline(time.Now().Add(patience)); ; {
				if _, err := backend.Write(block); err != nil {
					return
				}
			}
		}, live.MemoryLimit, live.MemoryLimit},
	} {
		t.Run(name, func(t *testing.T) {
			p := tell(t, row.options)
			row.stage(t, p)
			l := p.ended("client", row.client)
			for field, want := range map[string]any{"link": "redis", "port": uint16(6379), "local_addr": "127.0.0.1:6379", "peer": toldProvider} {
				if l[field] != want {
					t.Errorf("client: %s is %v (%T), want %v", field, l[field], l[field], want)
				}
			}
			at := p.ended("provider", row.provider)
			if at["link"] != "redis" || at["peer"] != toldClient || at["client_addr"] != l["client_addr"] || at["stream"] != l["stream"] || at["backend_addr"] == nil {
				t.Errorf("provider: %v, client: %v", at, l)
			}
		})
	}
}

// aborted checks that both ends see a reset, not an end.
func aborted(t *testing.T, ends ...*net.TCPConn) {
	t.Helper()
	for _, c := range ends {
		c.SetReadDeadline(time.Now().Add(patience))
		if _, err := c.Read(make([]byte, 1)); err == nil || err == io.EOF || errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("read %v, want a reset", err)
		}
	}
}

// session waits until there is one.
func (p *told) session() {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), patience)
	defer cancel()
	if _, err := p.client.Session(ctx); err != nil {
		p.t.Fatal(err)
	}
}

// reconnects waits until both sides have had a second session, and says of the
// first that an operator ended it.
func (p *told) reconnects() {
	p.t.Helper()
	within(p.t, patience, func() bool {
		return p.provider.Table.Snapshot(false).SessionsOpened == 2 && p.client.Table.Snapshot(false).SessionsOpened == 2
	})
}

func TestStreamsThatComeToNoBackendAreTold(t *testing.T) {
	t.Run("no session", func(t *testing.T) {
		p := tell(t, toldOptions{hold: 300 * time.Millisecond})
		p.session()
		p.provider.Close()
		p.knock()
		p.ended("client", live.NoSession)
	})
	t.Run("too many", func(t *testing.T) {
		p := tell(t, toldOptions{limit: 1})
		p.connected()
		p.knock()
		p.ended("client", live.StreamLimit)
		p.ended("provider", live.StreamLimit)
	})
	t.Run("consumer leaves while it waits for a session", func(t *testing.T) {
		p := tell(t, toldOptions{hold: patience})
		p.session()
		p.provider.Close()
		within(t, patience, func() bool { return len(p.client.Table.Snapshot(false).Sessions) == 0 })
		c := p.dial()
		within(t, patience, func() bool { return len(p.client.Table.Snapshot(true).Streams) == 1 })
		if got := p.running("client"); got.Phase != live.Waiting || got.Peer != toldProvider || got.Link != "redis" {
			t.Errorf("it waits as %+v", got)
		}
		reset(t, c)
		p.ended("client", live.ConsumerGone)
	})
	t.Run("killed while it waits for a session", func(t *testing.T) {
		p := tell(t, toldOptions{hold: time.Minute})
		p.session()
		p.provider.Close()
		within(t, patience, func() bool { return len(p.client.Table.Snapshot(false).Sessions) == 0 })
		c := p.dial()
		within(t, patience, func() bool { return len(p.client.Table.Snapshot(true).Streams) == 1 })
		p.client.Table.KillStream(p.running("client").ID)
		aborted(t, c)
		p.ended("client", live.Killed)
	})
	t.Run("killed while its backend is dialled", func(t *testing.T) {
		dialling := make(chan struct{}, 10)
		slow := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
			dialling <- struct{}{}
			<-ctx.Done()
			return nil, ctx.Err()
		}}
		p := tell(t, toldOptions{target: link.Target{Host: "slow.test", Port: 1}, resolver: slow, hold: time.Minute})
		p.session()
		c := p.dial()
		<-dialling
		if got := p.running("provider"); got.Phase != live.Connecting {
			t.Errorf("it waits as %+v", got)
		}
		p.provider.Table.KillStream(p.running("provider").ID)
		aborted(t, c)
		p.ended("provider", live.Killed)
		p.ended("client", live.Killed)
	})
	t.Run("not granted", func(t *testing.T) {
		p := tell(t, toldOptions{})
		p.session()
		p.links.Store(new([]string))
		if err := p.provider.Reauthorize(); err != nil {
			t.Fatal(err)
		}
		within(t, patience, func() bool {
			return p.logs["client"].FilterMessage("not available from this provider").Len() > 0
		})
		p.knock()
		p.ended("client", live.NotGranted)
	})
}

// What both sides show of a session and a stream that run.
func TestBothSidesShowTheSame(t *testing.T) {
	p := tell(t, toldOptions{})
	p.connected()
	at, from := p.running("provider"), p.running("client")
	if at.Consumer != from.Consumer || at.Stream != from.Stream || at.Bytes != from.Bytes || at.Bytes.In == 0 ||
		at.Backend != p.backend.Addr().String() || at.Phase != live.Open || from.Phase != live.Open || from.Local == "" {
		t.Errorf("provider\n%+v, client\n%+v", at, from)
	}
	for side, want := range map[string]struct{ peer, version string }{"provider": {toldClient, "c1"}, "client": {toldProvider, "p1"}} {
		s := p.tables()[side].Snapshot(false).Sessions
		if len(s) != 1 || s[0].Peer != want.peer || s[0].Version != want.version || s[0].Streams != 1 || s[0].Draining {
			t.Errorf("%s: %+v", side, s)
		}
		within(t, patience, func() bool { return p.tables()[side].Snapshot(false).Sessions[0].RTT > 0 })
	}
	if h := p.client.Table.Backend("redis", 6379); !h.Known || !h.OK {
		t.Errorf("the client does not know by the answer that the backend answers: %+v", h)
	}
	if h := p.provider.Table.Backend("redis", 6379); !h.OK || h.Took == 0 {
		t.Errorf("the provider does not know by its dial: %+v", h)
	}
}
