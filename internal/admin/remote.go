package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"time"
)

// Remote is a running ambassador as its control socket shows it. Methods may be
// called by several goroutines at once. They fail with a [*RefusedError] when the
// ambassador says no, and with the network's errors when there is none.
type Remote struct {
	path string
	http http.Client
}

// At is the ambassador whose control socket has that path. It connects when it is
// asked something.
func At(path string) *Remote {
	var d net.Dialer
	return &Remote{path: path, http: http.Client{Transport: &http.Transport{
		DialContext:        func(ctx context.Context, _, _ string) (net.Conn, error) { return d.DialContext(ctx, "unix", path) },
		DisableCompression: true,
	}}}
}

// Path is that of its control socket.
func (r *Remote) Path() string { return r.path }

// Close lets its connections go.
func (r *Remote) Close() { r.http.CloseIdleConnections() }

// RefusedError is what the ambassador said instead of doing what it was asked.
type RefusedError struct {
	Status int // of HTTP
	Text   string
}

func (e *RefusedError) Error() string { return e.Text }

// Status asks for the status; see [Ambassador.Status] for maxAge. Looking into
// backends is given up after timeout; if zero, 30 s.
func (r *Remote) Status(ctx context.Context, maxAge, timeout time.Duration) (s Status, err error) {
	return s, r.get(ctx, "/v1/status", asking(maxAge, timeout), &s)
}

// Links asks for the links.
func (r *Remote) Links(ctx context.Context, maxAge, timeout time.Duration) (l Links, err error) {
	return l, r.get(ctx, "/v1/links", asking(maxAge, timeout), &l)
}

// Peers asks for the peers.
func (r *Remote) Peers(ctx context.Context) (p Peers, err error) {
	return p, r.get(ctx, "/v1/peers", nil, &p)
}

// Sessions asks for live sessions and streams.
func (r *Remote) Sessions(ctx context.Context, f Filter) (s Sessions, err error) {
	q := url.Values{}
	switch {
	case f.Only:
		q.Set("streams", "only")
	case f.Streams:
		q.Set("streams", "true")
	}
	if f.Link != "" {
		q.Set("link", f.Link)
	}
	if f.Peer != "" {
		q.Set("peer", f.Peer)
	}
	return s, r.get(ctx, "/v1/sessions", q, &s)
}

// Events asks for what has happened since an event, and waits for it.
func (r *Remote) Events(ctx context.Context, after uint64, wait time.Duration) (e Events, err error) {
	q := url.Values{"after": {strconv.FormatUint(after, 10)}}
	if wait > 0 {
		q.Set("wait", wait.String())
	}
	return e, r.get(ctx, "/v1/events", q, &e)
}

// Kill ends a session or a stream.
func (r *Remote) Kill(ctx context.Context, id string) (k Killed, err error) {
	return k, r.post(ctx, "/v1/kill", target{ID: id}, &k)
}

// Reload has files read again. What could not be taken over is a *RefusedError.
func (r *Remote) Reload(ctx context.Context) error { return r.post(ctx, "/v1/reload", nil, &Done{}) }

// Drain begins what SIGTERM begins.
func (r *Remote) Drain(ctx context.Context) error { return r.post(ctx, "/v1/drain", nil, &Done{}) }

func asking(maxAge, timeout time.Duration) url.Values {
	q := url.Values{}
	if maxAge > 0 {
		q.Set("max_age", maxAge.String())
	}
	if timeout > 0 {
		q.Set("timeout", timeout.String())
	}
	return q
}

// Raw asks for a document and leaves it as it is.
func (r *Remote) Raw(ctx context.Context, path string, query url.Values) ([]byte, error) {
	return r.do(ctx, http.MethodGet, path, query, nil)
}

func (r *Remote) get(ctx context.Context, path string, query url.Values, into any) error {
	text, err := r.do(ctx, http.MethodGet, path, query, nil)
	if err != nil {
		return err
	}
	return understood(text, into)
}

func (r *Remote) post(ctx context.Context, path string, body, into any) error {
	sent, err := json.Marshal(body)
	if err != nil {
		return err
	}
	text, err := r.do(ctx, http.MethodPost, path, nil, sent)
	if err != nil {
		return err
	}
	return understood(text, into)
}

func understood(text []byte, into any) error {
	if err := json.Unmarshal(text, into); err != nil {
		return fmt.Errorf("its answer is not understood: %w: is it an ambassador of another version?", err)
	}
	return nil
}

func (r *Remote) do(ctx context.Context, method, path string, query url.Values, body []byte) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://ambassador"+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.URL.RawQuery = query.Encode()
	resp, err := r.http.Do(req)
	if err != nil {
		// The address that net/http puts before it was made up.
		if u := (*url.Error)(nil); errors.As(err, &u) {
			err = u.Err
		}
		return nil, r.broken(err)
	}
	defer resp.Body.Close()
	text, err := readAll(resp)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode/100 == 2 {
		return text, nil
	}
	var f Failure
	if err := json.Unmarshal(text, &f); err != nil || f.Error == "" {
		f.Error = "it answers with " + resp.Status
	}
	return nil, &RefusedError{Status: resp.StatusCode, Text: f.Error}
}

// broken is an error of the connection in words that are of use. A connection that was
// made and is closed without an answer is one too many, or of a process that ends;
// net/http has several words for it, as it notices while it writes, reads or waits.
func (r *Remote) broken(err error) error {
	op := (*net.OpError)(nil)
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return err
	case errors.As(err, &op) && op.Op == "dial":
		// The kernel names the socket as it was made, which is not where it is now
		// (unix(7)).
		return &net.OpError{Op: op.Op, Net: op.Net, Addr: &net.UnixAddr{Name: r.path, Net: "unix"}, Err: op.Err}
	}
	return &unansweredError{err}
}

// unansweredError is a connection that was closed. What the kernel calls that says
// nothing more.
type unansweredError struct{ cause error }

func (e *unansweredError) Error() string {
	return fmt.Sprintf("it closed the connection without an answer: it ends, or too many are asking (it answers %d connections at a time): ask again later", maxControlConns)
}

func (e *unansweredError) Unwrap() error { return e.cause }

// readAll reads an answer into one buffer where its length is known.
func readAll(resp *http.Response) ([]byte, error) {
	if resp.ContentLength < 0 {
		return io.ReadAll(resp.Body)
	}
	text := make([]byte, resp.ContentLength)
	_, err := io.ReadFull(resp.Body, text)
	return text, err
}
