package main

import (
	"bytes"
	"context"
	"io"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2/proto"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestTranscriptShowsWhatWasNegotiated(t *testing.T) {
	var out bytes.Buffer
	if err := demo(t.Context(), &out, true); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	for _, want := range []string{
		`redis +embedded, on 127\.0\.0\.1:\d+`, `session +127\.0\.0\.1:\d+ → 127\.0\.0\.1:\d+, TLS 1\.3`,
		`provider is +spiffe://\S+/provider/big-server`,
		`> PING +PONG`, `> SET greeting .* OK`, `> GET greeting +hello from big-server`,
	} {
		if !regexp.MustCompile(want).Match(out.Bytes()) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
}

func TestStaysUpForConsumersUntilItIsEnded(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	r, w := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		err := demo(ctx, w, false)
		w.Close()
		ended <- err
	}()
	port := promisedPort(t, r)
	go io.Copy(io.Discard, r)
	c, err := proto.Dial("127.0.0.1:" + port)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if got, err := c.Do("GET", "greeting"); err != nil || got != proto.String("hello from big-server") {
		t.Fatalf("%q, %v", got, err)
	}
	stop()
	select {
	case err := <-ended:
		if err != nil {
			t.Fatal(err)
		}
	case <-time.After(startWithin):
		t.Fatal("still up after it was ended")
	}
}

// promisedPort reads the transcript up to the port for redis-cli.
func promisedPort(t *testing.T, r io.Reader) string {
	t.Helper()
	var seen strings.Builder
	buf := make([]byte, 4096)
	for {
		n, err := r.Read(buf)
		seen.Write(buf[:n])
		if m := regexp.MustCompile(`redis-cli -p (\d+)`).FindStringSubmatch(seen.String()); m != nil {
			return m[1]
		}
		if err != nil {
			t.Fatalf("%v after\n%s", err, seen.String())
		}
	}
}
