package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"go.uber.org/zap"
)

// Bounds of the control socket: its clients are the own user's, and may be slow or
// broken.
const (
	maxControlConns = 64
	maxSurplusConns = 16 // who are told that there are too many
	maxControlBody  = 64 << 10
	maxAgeAsked     = time.Hour
	maxCheck        = 30 * time.Second
	maxEventsWait   = time.Minute
	requestTimeout  = 10 * time.Second // to say what is wanted
	answerTimeout   = time.Minute      // to have the answer taken, once it is there
)

// Control is the control socket's server: HTTP with JSON, as docs/control.md
// describes it. Set the fields before Serve and do not change them afterwards.
type Control struct {
	// Ambassador must be set.
	Ambassador *Ambassador
	// More are further handlers, by patterns of http.ServeMux. It may be nil.
	More map[string]http.Handler
	// Logger is told who steers. If nil, nobody is.
	Logger *zap.Logger

	start  sync.Once
	log    *zap.Logger
	server *http.Server
	ctx    context.Context // ends with Close
	cancel context.CancelFunc

	mu      sync.Mutex
	closed  bool
	serving sync.WaitGroup // requests
}

func (c *Control) init() {
	c.start.Do(func() {
		c.log = c.Logger
		if c.log == nil {
			c.log = zap.NewNop()
		}
		c.ctx, c.cancel = context.WithCancel(context.Background())
		c.server = &http.Server{
			Handler: c.handler(), ReadHeaderTimeout: requestTimeout, IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10,
			BaseContext: func(net.Listener) context.Context { return c.ctx }, ConnContext: markSurplus,
			ErrorLog: zap.NewStdLog(c.log.WithOptions(zap.IncreaseLevel(zap.ErrorLevel))),
		}
	})
}

// Serve answers on a listener until Close, and returns nil then.
func (c *Control) Serve(l net.Listener) error {
	c.init()
	err := c.server.Serve(&guarded{Listener: l, log: c.log, places: make(chan struct{}, maxControlConns), spare: make(chan struct{}, maxSurplusConns)})
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// Close ends what is being answered, and waits for it.
func (c *Control) Close() error {
	c.init()
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.cancel()
	err := c.server.Close()
	c.serving.Wait()
	return err
}

// begin counts a request, unless Close waits for them already.
func (c *Control) begin() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return false
	}
	c.serving.Add(1)
	return true
}

func (c *Control) handler() http.Handler {
	mux := http.NewServeMux()
	for pattern, answer := range map[string]func(http.ResponseWriter, *http.Request) error{
		"GET /v1/status":   c.status,
		"GET /v1/links":    c.links,
		"GET /v1/peers":    c.peers,
		"GET /v1/sessions": c.sessions,
		"GET /v1/events":   c.events,
		"POST /v1/kill":    c.kill,
		"POST /v1/reload":  c.reload,
		"POST /v1/drain":   c.drain,
	} {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			if err := answer(w, r); err != nil {
				fail(w, err)
			}
		})
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		fail(w, &problem{http.StatusNotFound, fmt.Errorf("no %s %s here: this ambassador answers on /v1, see docs/control.md", r.Method, r.URL.Path)})
	})
	for pattern, h := range c.More {
		mux.Handle(pattern, h)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !c.begin() {
			return
		}
		defer c.serving.Done()
		// A body that is sent byte by byte takes its place no longer than this.
		_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(requestTimeout))
		r.Body = http.MaxBytesReader(w, r.Body, maxControlBody)
		if !tooMany(w, r, maxControlConns) {
			mux.ServeHTTP(w, r)
		}
	})
}

// problem is an error with its HTTP status.
type problem struct {
	status int
	err    error
}

func (p *problem) Error() string { return p.err.Error() }
func (p *problem) Unwrap() error { return p.err }

func badRequest(format string, args ...any) error {
	return &problem{http.StatusBadRequest, fmt.Errorf(format, args...)}
}

func fail(w http.ResponseWriter, err error) {
	status := http.StatusInternalServerError
	var p *problem
	if errors.As(err, &p) {
		status = p.status
	}
	_ = answer(w, status, Failure{Schema: Schema, Error: err.Error()})
}

// answer writes a document. What cannot be written has nobody to be told.
func answer(w http.ResponseWriter, status int, document any) error {
	text, err := json.Marshal(document)
	if err != nil {
		return err
	}
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(answerTimeout))
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(text)+1))
	w.WriteHeader(status)
	_, _ = w.Write(append(text, '\n'))
	return nil
}

// checked is the context for looking into backends, and the max_age that was asked
// for.
func checked(r *http.Request) (ctx context.Context, done context.CancelFunc, maxAge time.Duration, err error) {
	if maxAge, err = duration(r, "max_age", maxAgeAsked); err != nil {
		return nil, nil, 0, err
	}
	limit, err := duration(r, "timeout", maxCheck)
	if err != nil {
		return nil, nil, 0, err
	}
	if limit == 0 {
		limit = maxCheck
	}
	ctx, done = context.WithTimeout(r.Context(), limit)
	return ctx, done, maxAge, nil
}

func duration(r *http.Request, name string, most time.Duration) (time.Duration, error) {
	text := r.URL.Query().Get(name)
	if text == "" {
		return 0, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 || d > most {
		return 0, badRequest("%s=%.40q: expected a duration up to %v, such as 5s", name, text, most)
	}
	return d, nil
}

func (c *Control) status(w http.ResponseWriter, r *http.Request) error {
	ctx, done, maxAge, err := checked(r)
	if err != nil {
		return err
	}
	defer done()
	return answer(w, http.StatusOK, c.Ambassador.Status(ctx, maxAge))
}

func (c *Control) links(w http.ResponseWriter, r *http.Request) error {
	ctx, done, maxAge, err := checked(r)
	if err != nil {
		return err
	}
	defer done()
	return answer(w, http.StatusOK, c.Ambassador.Links(ctx, maxAge))
}

func (c *Control) peers(w http.ResponseWriter, r *http.Request) error {
	return answer(w, http.StatusOK, c.Ambassador.Peers(r.Context()))
}

func (c *Control) sessions(w http.ResponseWriter, r *http.Request) error {
	q := r.URL.Query()
	f := Filter{Link: q.Get("link"), Peer: q.Get("peer")}
	switch text := q.Get("streams"); text {
	case "", "false":
	case "true":
		f.Streams = true
	case "only":
		f.Only = true
	default:
		return badRequest("streams=%.40q: expected true, false or only", text)
	}
	return answer(w, http.StatusOK, c.Ambassador.Sessions(f))
}

func (c *Control) events(w http.ResponseWriter, r *http.Request) error {
	after := uint64(0)
	if text := r.URL.Query().Get("after"); text != "" {
		var err error
		if after, err = strconv.ParseUint(text, 10, 64); err != nil {
			return badRequest("after=%.40q: expected the ID of an event", text)
		}
	}
	wait, err := duration(r, "wait", maxEventsWait)
	if err != nil {
		return err
	}
	return answer(w, http.StatusOK, c.Ambassador.Events(r.Context(), after, wait))
}

// target is what is to be killed.
type target struct {
	ID string `json:"id"`
}

func (c *Control) kill(w http.ResponseWriter, r *http.Request) error {
	var t target
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	if err := d.Decode(&t); err != nil {
		return badRequest(`the body is not what was expected, {"id":"12"}: %w`, err)
	}
	kind := c.Ambassador.Kill(t.ID)
	if kind == "" {
		return &problem{http.StatusNotFound, fmt.Errorf(`there is no live session or stream %.40q: "ambassador sessions --streams" lists them`, t.ID)}
	}
	c.log.Info("killed by an operator", zap.String("kind", kind), zap.String("id", t.ID))
	return answer(w, http.StatusOK, Killed{Schema: Schema, ID: t.ID, Kind: kind})
}

func (c *Control) reload(w http.ResponseWriter, _ *http.Request) error {
	if c.Ambassador.Reload == nil {
		return &problem{http.StatusNotImplemented, errors.New("this ambassador has nothing to reload")}
	}
	if err := c.Ambassador.Reload(); err != nil {
		return err
	}
	return answer(w, http.StatusOK, Done{Schema: Schema, OK: true})
}

func (c *Control) drain(w http.ResponseWriter, _ *http.Request) error {
	if c.Ambassador.Drain == nil {
		return &problem{http.StatusNotImplemented, errors.New("this ambassador cannot be drained")}
	}
	// The answer goes first: there may be nothing to wait for, and then the process
	// ends at once.
	err := answer(w, http.StatusAccepted, Done{Schema: Schema, OK: true})
	_ = http.NewResponseController(w).Flush()
	c.Ambassador.Drain()
	return err
}
