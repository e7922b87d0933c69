package client

import (
	"errors"
	"syscall"
	"testing"

	"ambassador/internal/link"
	"ambassador/mux"
)

func TestStateSaysWhyThereIsNoSession(t *testing.T) {
	c := &Client{Provider: "127.0.0.1:1", Expose: []link.Expose{{Port: freePort(t), Link: "redis"}, {Link: "mq"}}}
	if why, cause := c.Trouble(); why != "still connecting" || cause != nil {
		t.Errorf("before it runs: %q, %v", why, cause)
	}
	run(t, c)
	eventually(t, "a failed attempt", func() bool {
		why, cause := c.Trouble()
		return why != "" && errors.Is(cause, syscall.ECONNREFUSED)
	})
}

func TestStateShowsWhatIsExposedAndWhatIsGranted(t *testing.T) {
	p := provide(t, mux.Message{Kind: mux.KindWelcome, Links: []mux.Offer{{Name: "redis", Ports: []uint16{6379}}}})
	local := freePort(t)
	c := &Client{Provider: p.address, Expose: []link.Expose{{Local: local, Link: "redis", Port: 6379}, {Local: freePort(t), Port: 5672}, {Link: "mq"}}}
	run(t, c)
	p.session(t)
	eventually(t, "a session", func() bool { why, _ := c.Trouble(); return why == "" })
	if g := c.Granted(); len(g) != 1 || g[0] != "redis" {
		t.Errorf("granted: %v", g)
	}
	routes := c.Routes()
	if len(routes) != 3 {
		t.Fatalf("%+v", routes)
	}
	if r := routes[0]; r.Name() != "redis" || r.Port != 6379 || r.Problem != nil || r.Local != "127.0.0.1:"+portText(local) {
		t.Errorf("what is granted: %+v", r)
	}
	if r := routes[1]; r.Name() != "port 5672" || r.Problem == nil {
		t.Errorf("a port that is not: %+v", r)
	}
	if r := routes[2]; r.Name() != "mq" || r.Problem == nil || r.Local != "" {
		t.Errorf("a link that is not: %+v", r)
	}
}
