package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
)

// page is the body of every response, in bytes.
const page = 1 << 10

// startHTTP starts a server of this program that answers at once.
func startHTTP(context.Context, string) (*backend, error) {
	l, err := listen()
	if err != nil {
		return nil, err
	}
	body := strings.Repeat("x", page)
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, body) // the consumer counts what it gets
	})}
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	return &backend{port: portOf(l), probe: probeHTTP, stop: func() error {
		err := s.Close()
		if ended := <-served; !errors.Is(ended, http.ErrServerClosed) {
			err = errors.Join(err, ended)
		}
		return err
	}}, nil
}

func probeHTTP(c net.Conn) error {
	if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n"); err != nil {
		return err
	}
	all, err := io.ReadAll(c)
	if err != nil {
		return err
	}
	if text := string(all); !strings.HasPrefix(text, "HTTP/1.1 200 ") || strings.Count(text, "x") < page {
		return fmt.Errorf("the HTTP server answers %.60q", text)
	}
	return nil
}
