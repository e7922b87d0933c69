package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
)

// What a consumer of the load server wants is its first byte.
const (
	wantUpload   = 'U' // takes bytes and counts them
	wantDownload = 'D' // gets bytes until it closes
	wantEcho     = 'E' // gets back what it sends behind that
)

// block is the size in bytes of one read or write of bulk data, that of iperf3.
const block = 128 << 10

// loadServer is the backend of bulk, latency and idle works. It is of this
// program, so that no load tool's own ways are measured.
type loadServer struct {
	l        net.Listener
	uploaded atomic.Int64 // bytes, of all connections
	ctx      context.Context
	cancel   context.CancelFunc
	conns    sync.WaitGroup
}

func startLoadServer(context.Context, string) (*backend, error) {
	l, err := listen()
	if err != nil {
		return nil, err
	}
	s := &loadServer{l: l}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.conns.Go(s.accept)
	return &backend{port: portOf(l), probe: probeEcho, load: s, stop: s.stop}, nil
}

func (s *loadServer) stop() error {
	err := s.l.Close()
	s.cancel()
	s.conns.Wait()
	return err
}

func (s *loadServer) accept() {
	for {
		c, err := s.l.Accept()
		if err != nil {
			return // closed
		}
		s.conns.Go(func() {
			defer c.Close()
			defer context.AfterFunc(s.ctx, func() { c.Close() })()
			// It ends when the consumer does, and with what error is for the
			// consumer to see.
			_ = s.serve(c)
		})
	}
}

func (s *loadServer) serve(c net.Conn) error {
	var want [1]byte
	if _, err := io.ReadFull(c, want[:]); err != nil {
		return err
	}
	switch want[0] {
	case wantUpload:
		return receive(c, &s.uploaded)
	case wantDownload:
		for buf := make([]byte, block); ; {
			if _, err := c.Write(buf); err != nil {
				return err
			}
		}
	case wantEcho:
		for buf := make([]byte, 64); ; {
			n, err := c.Read(buf)
			if err != nil {
				return err
			}
			if _, err := c.Write(buf[:n]); err != nil {
				return err
			}
		}
	}
	return fmt.Errorf("a consumer wants %q", want[:])
}

// receive counts what comes.
func receive(c net.Conn, count *atomic.Int64) error {
	for buf := make([]byte, block); ; {
		n, err := c.Read(buf)
		count.Add(int64(n))
		if err != nil {
			return err
		}
	}
}

// probeEcho has one byte echoed.
func probeEcho(c net.Conn) error {
	if _, err := c.Write([]byte{wantEcho, '.'}); err != nil {
		return err
	}
	return echoed(c, ".")
}

// echoed reads an echo.
func echoed(c net.Conn, want string) error {
	got := make([]byte, len(want))
	if _, err := io.ReadFull(c, got); err != nil {
		return fmt.Errorf("waiting for an echo: %w", err)
	}
	if string(got) != want {
		return errors.New("the echo is not what was sent")
	}
	return nil
}
