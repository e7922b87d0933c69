package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"ambassador/certs"
	"ambassador/client"
	"ambassador/internal/link"
	"ambassador/server"

	"github.com/alicebob/miniredis/v2"
	"github.com/alicebob/miniredis/v2/proto"
)

// startWithin bounds the wait for the pair to be joined.
const startWithin = 15 * time.Second

// demo runs the pair and writes the transcript to w. Without once it then waits
// for ctx.
func demo(ctx context.Context, w io.Writer, once bool) (err error) {
	dir, err := os.MkdirTemp("", "ambassador-demo-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()

	redis, err := miniredis.Run()
	if err != nil {
		return fmt.Errorf("embedded redis: %w", err)
	}
	defer redis.Close()
	fmt.Fprintf(w, "redis          embedded, on %s\n", redis.Addr())

	p, err := startProvider(dir, redis.Addr())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.stop()) }()
	fmt.Fprintf(w, "big-server     ambassador serve --link redis=%s, on %s\n", redis.Addr(), p.addr)

	c, err := startClient(ctx, dir, p)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.stop()) }()
	session, err := c.joined(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "client-server  ambassador connect %s --join %s --expose 6379=redis, on %s\n", p.addr, p.token, c.addr)
	if err := describe(w, session); err != nil {
		return err
	}
	if err := converse(w, c.addr); err != nil {
		return err
	}
	if once {
		return nil
	}
	_, port, err := net.SplitHostPort(c.addr)
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "\nThe pair stays up: try \"redis-cli -p %s\". Ctrl-C ends it.\n", port)
	<-ctx.Done()
	return nil
}

// session is what the transcript tells of the client's session.
type session interface {
	TLS() tls.ConnectionState
	LocalAddr() net.Addr
	RemoteAddr() net.Addr
}

// describe prints what the handshake really agreed on.
func describe(w io.Writer, s session) error {
	state := s.TLS()
	provider, err := certs.PeerIdentity(state)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "session        %s → %s, %s, %s\nprovider is    %s\n",
		s.LocalAddr(), s.RemoteAddr(), tls.VersionName(state.Version), tls.CipherSuiteName(state.CipherSuite), provider)
	return err
}

// converse speaks Redis through the tunnel.
func converse(w io.Writer, addr string) error {
	c, err := proto.Dial(addr)
	if err != nil {
		return fmt.Errorf("consumer: %w", err)
	}
	defer c.Close()
	fmt.Fprintf(w, "\nA consumer at %s says:\n", addr)
	for _, step := range []struct {
		words []string
		want  string
	}{
		{[]string{"PING"}, proto.Inline("PONG")},
		{[]string{"SET", "greeting", "hello from big-server"}, proto.Inline("OK")},
		{[]string{"GET", "greeting"}, proto.String("hello from big-server")},
	} {
		got, err := c.Do(step.words...)
		if err != nil {
			return fmt.Errorf("%s: %w", step.words[0], err)
		}
		fmt.Fprintf(w, "  > %-36s %s\n", strings.Join(step.words, " "), plain(got))
		if got != step.want {
			return fmt.Errorf("%s: redis answered %q, expected %q", step.words[0], got, step.want)
		}
	}
	return nil
}

// plain is a reply without its protocol.
func plain(reply string) string {
	lines := strings.Split(strings.TrimSpace(reply), "\r\n")
	return strings.TrimPrefix(lines[len(lines)-1], "+")
}

// provider is the serving tier.
type provider struct {
	server *server.Server
	addr   string
	token  certs.Token // of an invitation for client-server
	served chan error
}

func startProvider(dir, redis string) (*provider, error) {
	state := filepath.Join(dir, "big-server")
	ca, err := certs.Init(state, certs.InitOptions{Provider: "big-server"})
	if err != nil {
		return nil, err
	}
	if _, err := ca.EnsureProvider(); err != nil {
		return nil, err
	}
	token, _, err := ca.Invite("client-server", certs.InviteOptions{Links: []string{"redis"}})
	if err != nil {
		return nil, err
	}
	credentials, err := certs.Load(certs.StateFiles(state), certs.RoleProvider)
	if err != nil {
		return nil, err
	}
	enroller := &certs.Enroller{CA: ca, Credentials: credentials}
	links, _, err := link.Discover([]string{"redis=" + redis}, nil)
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &provider{
		server: &server.Server{
			TLSConfig: credentials.ServerConfig(),
			Links:     links,
			Authorize: func(cs tls.ConnectionState) (server.Peer, error) {
				id, links, err := ca.Admit(cs)
				return server.Peer{Identity: id, Links: links}, err
			},
			Services: map[string]server.Service{
				certs.EnrolProtocol: {TLSConfig: enroller.TLSConfig(), Serve: enroller.Serve},
			},
		},
		addr:   l.Addr().String(),
		token:  token,
		served: make(chan error, 1),
	}
	go func() { p.served <- p.server.Serve(l) }()
	return p, nil
}

func (p *provider) stop() error {
	err := p.server.Close()
	if served := <-p.served; !errors.Is(served, server.ErrClosed) {
		err = errors.Join(err, served)
	}
	return err
}

// tunnel is the connecting tier.
type tunnel struct {
	client *client.Client
	addr   string
	served chan error
}

func startClient(ctx context.Context, dir string, p *provider) (*tunnel, error) {
	host, _, err := net.SplitHostPort(p.addr)
	if err != nil {
		return nil, err
	}
	state := filepath.Join(dir, "client-server")
	dial := func(ctx context.Context) (net.Conn, error) { return new(net.Dialer).DialContext(ctx, "tcp", p.addr) }
	if _, err := certs.Join(ctx, dial, p.token, state); err != nil {
		return nil, err
	}
	config, err := certs.ClientConfig(certs.StateFiles(state), host)
	if err != nil {
		return nil, err
	}
	t := &tunnel{
		client: &client.Client{
			Provider: p.addr, TLSConfig: config,
			Expose: []link.Expose{{Local: 6379, Link: "redis"}},
			Listen: listenNearby,
		},
		served: make(chan error, 1),
	}
	go func() { t.served <- t.client.ListenAndServe() }()
	return t, nil
}

// listenNearby takes another port where the one asked for is busy: a machine
// that tries the demo may well run a Redis.
func listenNearby(network, address string) (net.Listener, error) {
	l, err := net.Listen(network, address)
	if err != nil {
		return net.Listen(network, "127.0.0.1:0")
	}
	return l, nil
}

// joined waits for the session.
func (t *tunnel) joined(ctx context.Context) (session, error) {
	ctx, cancel := context.WithTimeout(ctx, startWithin)
	defer cancel()
	select {
	case <-t.client.Bound():
	case err := <-t.served:
		t.served <- err // stop reads it again
		return nil, err
	}
	t.addr = t.client.Addrs()[0].String()
	return t.client.Session(ctx)
}

func (t *tunnel) stop() error {
	err := t.client.Close()
	if served := <-t.served; !errors.Is(served, client.ErrClosed) {
		err = errors.Join(err, served)
	}
	return err
}
