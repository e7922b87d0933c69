package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"ambassador/certs"

	"github.com/cenkalti/backoff/v5"
	"github.com/spf13/pflag"
	"go.uber.org/zap"
)

func addJoin(f *pflag.FlagSet) *string {
	return f.String("join", "", "`TOKEN` of an invitation, for the first start: the token, @FILE, or - for standard input; arguments show in ps, a file and AMBASSADOR_JOIN do not")
}

// errNoToken: --join leads to no text at all.
var errNoToken = errors.New("there is no token")

// readToken reads what --join says; errNoToken comes with what cannot be read or
// is empty. No error tells the text: it may be a secret.
func readToken(word string, stdin io.Reader) (certs.Token, error) {
	text := word
	var b []byte
	defer func() { clear(b) }()
	var err error
	if file, is := strings.CutPrefix(word, "@"); is {
		if b, err = os.ReadFile(file); err != nil {
			return certs.Token{}, usage(fmt.Errorf("--join: %w: %w", errNoToken, err))
		}
		text = string(b)
	} else if word == "-" {
		if b, err = io.ReadAll(io.LimitReader(stdin, 4096)); err != nil {
			return certs.Token{}, fmt.Errorf("--join: %w: reading standard input: %w", errNoToken, err)
		}
		text = string(b)
	}
	if strings.TrimSpace(text) == "" {
		return certs.Token{}, usage(fmt.Errorf(`--join: %w in %s: expected what "ambassador invite NAME" printed on the provider's host`, errNoToken, tokenSource(word)))
	}
	token, err := certs.ParseToken(text)
	if err != nil {
		return certs.Token{}, usage(fmt.Errorf(`--join: %w: expected what "ambassador invite NAME" printed on the provider's host`, err))
	}
	return token, nil
}

// tokenSource is where an empty token was read from.
func tokenSource(word string) string {
	if file, is := strings.CutPrefix(word, "@"); is {
		return file
	}
	return "standard input"
}

// The pauses between attempts to join, drawn at random up to twice as long.
const (
	firstJoinPause   = 250 * time.Millisecond
	longestJoinPause = 10 * time.Second
)

// joiner turns a token into a certificate in a state directory.
type joiner struct {
	token    certs.Token
	provider string // HOST:PORT
	dir      string
	progress *progress
	log      *zap.Logger
}

// errEnded: a signal came while the client was joining.
var errEnded = errors.New("ended before the client had joined")

// join asks until it has an answer: either side may start first. A signal ends
// it, with errEnded, and a second one the process.
func (j *joiner) join(ctx context.Context) error {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	defer func() { j.token = certs.Token{} }() // it is not needed in memory any longer
	defer context.AfterFunc(ctx, stop)()
	pauses := backoff.ExponentialBackOff{InitialInterval: firstJoinPause, MaxInterval: longestJoinPause, Multiplier: 2, RandomizationFactor: 1}
	pauses.Reset()
	told := ""
	var waiting atomic.Pointer[string] // why it takes longer
	defer j.progress.follow(func() string { return j.asking(waiting.Load()) })()
	for {
		joined, err := certs.Join(ctx, dialer(j.provider), j.token, j.dir)
		if ctx.Err() != nil {
			return errEnded
		}
		if err == nil {
			j.joined(joined)
			return nil
		}
		if !passing(err) {
			return j.refused(err)
		}
		if why := explainAttempt(err); why != told {
			told = why
			waiting.Store(&why)
			j.log.Warn("provider not reached to join, will keep trying", zap.String("provider", j.provider), zap.String("reason", why))
		}
		select {
		case <-time.After(pauses.NextBackOff()):
		case <-ctx.Done():
			return errEnded
		}
	}
}

// asking is what a person who waits is told.
func (j *joiner) asking(why *string) string {
	text := "asking " + j.provider + " for a certificate"
	if why != nil {
		text += ": " + *why
	}
	return text
}

func (j *joiner) joined(got *certs.Joined) {
	if got.Before {
		j.log.Info("the token was used for this certificate before: it is not needed any more", zap.String("identity", got.Identity))
		return
	}
	j.log.Info("joined", zap.String("provider", j.provider), zap.String("identity", got.Identity),
		zap.Strings("links", got.Links), zap.Time("not_after", got.NotAfter))
}

// refused is the end of it, but for a client that has a certificate which may
// well do: a token that stays in a unit file is spent.
func (j *joiner) refused(err error) error {
	if errors.Is(err, certs.ErrInvitation) {
		if _, errLoad := certs.Load(certs.StateFiles(j.dir), certs.RoleClient); errLoad == nil {
			j.log.Warn("the token was refused, going on with the certificate that is there", zap.String("state_dir", j.dir))
			return nil
		}
	}
	return fmt.Errorf("joining %s: %w", j.provider, &explained{explainAttempt(err), err})
}

// explained is an error in words for a person.
type explained struct {
	text string
	err  error
}

func (e *explained) Error() string { return e.text }
func (e *explained) Unwrap() error { return e.err }

// passing says whether an error may go away by itself: the provider is not there
// yet, or has trouble of its own.
func passing(err error) bool {
	var dns *net.DNSError
	var op *net.OpError
	var alert tls.AlertError
	switch {
	case errors.Is(err, certs.ErrBusy), errors.Is(err, certs.ErrEnrolment),
		errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, context.DeadlineExceeded),
		errors.As(err, &dns):
		return true
	case errors.As(err, &alert):
		return false
	}
	// crypto/tls brings the peer's alerts as such an error too.
	return errors.As(err, &op) && op.Op != "remote error" && op.Op != "local error" && !errors.Is(err, certs.ErrInvitation)
}

// dialer makes connections to the provider, by its name as it resolves then.
func dialer(provider string) certs.DialFunc {
	d := net.Dialer{Timeout: 10 * time.Second}
	d.SetMultipathTCP(false)
	return func(ctx context.Context) (net.Conn, error) { return d.DialContext(ctx, "tcp", provider) }
}
