package client

import (
	"context"
	"net"
	"testing"
	"time"

	"ambassador/internal/link"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

// A consumer that leaves while it waits is let go of: it does not delay a drain
// until its hold budget ends. Elsewhere than on Linux nothing tells of it.
func TestConsumerThatLeavesWhileItWaits(t *testing.T) {
	core, logs := observer.New(zap.DebugLevel)
	log := zap.New(core)
	nobody, local := freePort(t), freePort(t)
	for name, c := range map[string]interface {
		ListenAndServe() error
		Shutdown(context.Context) error
		Close() error
	}{
		"for a session": &Client{
			Provider: "127.0.0.1:" + portText(nobody), TLSConfig: testTLS(), Hold: time.Hour, Logger: log,
			Expose: []link.Expose{{Local: local, Link: "redis", Port: 1}},
		},
		"for its target": &Forwarder{
			Forwards: []link.Forward{{Local: local, Target: link.Target{Host: "127.0.0.1", Port: nobody}}},
			Hold:     time.Hour, Logger: log,
		},
	} {
		t.Run(name, func(t *testing.T) {
			ended := make(chan error, 1)
			go func() { ended <- c.ListenAndServe() }()
			defer func() {
				c.Close()
				<-ended
			}()
			var waiting net.Conn
			eventually(t, "the port is open", func() bool {
				var err error
				waiting, err = net.Dial("tcp", "127.0.0.1:"+portText(local))
				return err == nil
			})
			waiting.(*net.TCPConn).SetLinger(0)
			waiting.Close()
			eventually(t, "the consumer's leave is noticed", func() bool {
				return logs.FilterMessage("consumer gone before it was served").Len() > 0
			})
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			if err := c.Shutdown(ctx); err != nil {
				t.Errorf("drain: %v", err)
			}
			if n := logs.FilterMessage("consumer reset").Len(); n != 0 {
				t.Errorf("%d lines about a reset that nobody saw", n)
			}
			logs.TakeAll()
		})
	}
}
