package admin

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"testing"
)

func TestWebTurnsAwayWhatItHasNoPlaceFor(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	web := &Web{Handler: client().Scraped()}
	ended := make(chan error)
	go func() { ended <- web.Serve(l) }()
	defer func() {
		if err := web.Close(); err != nil {
			t.Error(err)
		}
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	for range maxWebConns {
		c := dial(t, l)
		defer c.Close()
		// An answer shows that it has its place.
		io.WriteString(c, "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
		answer, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil || answer.StatusCode != http.StatusOK {
			t.Fatalf("%v %v", answer, err)
		}
	}
	c := dial(t, l)
	defer c.Close()
	io.WriteString(c, "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n") // it may be closed already
	if answer, err := http.ReadResponse(bufio.NewReader(c), nil); err == nil {
		t.Errorf("one connection too many was answered: %s", answer.Status)
	}
}

func dial(t *testing.T, l net.Listener) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return c
}
