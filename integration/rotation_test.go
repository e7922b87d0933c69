package integration

import (
	"bytes"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ambassador/certs"
	"ambassador/client"
	"ambassador/internal/link"
	"ambassador/mux"
	"ambassador/server"
)

// counted counts what a listener accepts.
type counted struct {
	net.Listener
	n atomic.Int32
}

func (l *counted) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err == nil {
		l.n.Add(1)
	}
	return c, err
}

// echoServer sends back what it gets, and a FIN for a FIN.
func echoServer(t *testing.T) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var done sync.WaitGroup
	done.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			done.Go(func() {
				defer c.Close()
				io.Copy(c, c)
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		done.Wait()
	})
	return l.Addr().String()
}

// startWearing runs both sides in this process, with keys that wear out after few
// records at the client, at the provider, or never. It returns the local port's
// address and the count of sessions.
func startWearing(t *testing.T, atClient, atProvider int64) (addr string, sessions *atomic.Int32) {
	t.Helper()
	dir := t.TempDir()
	state := filepath.Join(dir, "provider")
	ca, err := certs.Init(state, certs.InitOptions{Provider: "big-server"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ca.EnsureProvider(); err != nil {
		t.Fatal(err)
	}
	identity := filepath.Join(dir, "client")
	if _, err := ca.IssueTo("c", []string{"echo"}, identity); err != nil {
		t.Fatal(err)
	}
	provider, err := certs.ServerConfig(certs.StateFiles(state))
	if err != nil {
		t.Fatal(err)
	}
	consumerSide, err := certs.ClientConfig(certs.StateFiles(identity), "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	links, _, err := link.Discover([]string{"echo=" + echoServer(t)}, nil)
	if err != nil {
		t.Fatal(err)
	}
	lc := net.ListenConfig{}
	lc.SetMultipathTCP(false)
	l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.ParseUint(freePort(t), 10, 16)
	if err != nil {
		t.Fatal(err)
	}
	listener := &counted{Listener: l}
	s := &server.Server{
		TLSConfig: provider, Links: links, Carrier: mux.Options{WornAfter: atProvider},
		Authorize: func(tls.ConnectionState) (server.Peer, error) {
			return server.Peer{Identity: "c", Links: []string{"*"}}, nil
		},
	}
	c := &client.Client{
		Provider: l.Addr().String(), TLSConfig: consumerSide, Carrier: mux.Options{WornAfter: atClient},
		Expose: []link.Expose{{Local: uint16(port), Link: "echo", Port: links[0].Ports[0].Number}},
	}
	var running sync.WaitGroup
	running.Go(func() {
		if err := s.Serve(listener); !errors.Is(err, server.ErrClosed) {
			t.Error(err)
		}
	})
	running.Go(func() {
		if err := c.ListenAndServe(); !errors.Is(err, client.ErrClosed) {
			t.Error(err)
		}
	})
	t.Cleanup(func() {
		if err := errors.Join(c.Close(), s.Close()); err != nil {
			t.Error(err)
		}
		running.Wait()
	})
	select {
	case <-c.Bound():
	case <-time.After(patience):
		t.Fatal("the local port does not open")
	}
	return c.Addrs()[0].String(), &listener.n
}

// echoedWhole sends bytes to an echo and compares what comes back, up to the FIN.
func echoedWhole(addr string, message []byte) error {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return err
	}
	defer c.Close()
	sent := make(chan error, 1)
	go func() {
		_, err := c.Write(message)
		sent <- errors.Join(err, c.(*net.TCPConn).CloseWrite())
	}()
	got, err := io.ReadAll(c)
	if err := errors.Join(err, <-sent); err != nil {
		return err
	}
	if !bytes.Equal(got, message) {
		return fmt.Errorf("%d bytes came back of %d, or others", len(got), len(message))
	}
	return nil
}

// Sessions whose keys are worn are replaced again and again, and neither a
// connection that runs all the time nor those that come and go notice.
func TestWornSessionIsReplacedUnderLoad(t *testing.T) {
	for name, worn := range map[string]struct{ atClient, atProvider int64 }{
		"client-counts":   {atClient: 200},
		"provider-counts": {atProvider: 200},
		"both-count":      {200, 200},
	} {
		t.Run(name, func(t *testing.T) {
			addr, sessions := startWearing(t, worn.atClient, worn.atProvider)
			long := make([]byte, 48<<20)
			rand.Read(long)
			lasting := make(chan error, 1)
			go func() { lasting <- echoedWhole(addr, long) }()
			for i := 0; sessions.Load() < 5; i++ {
				if i > 5000 {
					t.Fatalf("%d sessions after %d connections", sessions.Load(), i)
				}
				if err := echoedWhole(addr, long[:256<<10]); err != nil {
					t.Fatal("a connection that comes and goes:", err)
				}
			}
			if err := <-lasting; err != nil {
				t.Error("the connection that lasts:", err)
			}
		})
	}
}
