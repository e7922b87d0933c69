package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"ambassador/certs"
	"ambassador/client"
	"ambassador/internal/link"
	"ambassador/internal/live"

	"github.com/spf13/cobra"
	"go.uber.org/zap"
)

type connectFlags struct {
	sessions   *bool
	expose     *[]string
	exposeHost *string
	hold       *time.Duration
	drain      *time.Duration
	halfClosed *time.Duration
	join       *string
	stateDir   *string
	files      *certFlags
	admin      adminFlags
}

func newConnect(env environment) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "connect HOST:PORT",
		Short: "The client side: offer a provider's links on local ports",
		Long: `Keeps one connection with mutual TLS to the provider at HOST:PORT and offers its
links on local ports.

--join is for the first start: it turns the token of an invitation into a
certificate in the state directory, which then is all that is needed and renews
itself. A token that was used is passed over, so that it may stay in a unit file.

--expose is [LOCAL=]REMOTE. REMOTE is PORT, LINK or LINK:PORT; LOCAL is [IP:]PORT
and the same as the remote port if not given. Docker's 16379:6379 and
127.0.0.1:16379:6379 mean the same. Without --expose: the ports of the links in
the environment, else all that the provider grants.`,
		Example: `  ambassador connect big-server:7000 --join @token --expose 6379
  ambassador connect big-server:7000 --expose 6379
  ambassador connect big-server:7000 --expose 16379=redis:6379 --expose postgres`,
		Args: exactArgs(1, "HOST:PORT of a provider, such as big-server:7000"),
	}
	f := connectFlags{
		sessions:   addLogSessions(cmd.Flags()),
		expose:     cmd.Flags().StringArray("expose", nil, "local port and what it stands for: `[LOCAL=]REMOTE`; may be repeated"),
		exposeHost: addExposeHost(cmd.Flags()),
		hold:       addHold(cmd.Flags()),
		drain:      addDrainTimeout(cmd.Flags()),
		halfClosed: addHalfClosedIdle(cmd.Flags()),
		join:       addJoin(cmd.Flags()),
		stateDir:   addStateDir(cmd.Flags()),
		files:      addCertFlags(cmd.Flags()),
		admin:      addAdmin(cmd.Flags()),
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error { return connect(cmd, env, f, args[0]) }
	return cmd
}

func connect(cmd *cobra.Command, env environment, f connectFlags, provider string) error {
	log, err := newLogger(cmd, env.stderr)
	if err != nil {
		return err
	}
	if err := f.admin.check(); err != nil {
		return err
	}
	table := new(live.Table)
	steer, stop := newSteering(table, env.stderr, log)
	defer stop()
	host, err := checkProvider(provider)
	if err != nil {
		return err
	}
	exposes, err := findExposes(*f.expose, env.environ, log)
	if err != nil {
		return err
	}
	exposeHost, err := checkExposeHost(*f.exposeHost)
	if err != nil {
		return err
	}
	if err := checkHalfClosedIdle(*f.halfClosed); err != nil {
		return err
	}
	credentials, err := clientCredentials(cmd, f, env.environ, provider, steer.progress, log)
	if errors.Is(err, errEnded) {
		log.Info("ended before the client had joined")
		return nil
	}
	if err != nil {
		return err
	}
	c := &client.Client{
		Provider: provider, TLSConfig: credentials.ClientConfig(host), Expose: exposes, ExposeHost: exposeHost,
		Hold: holdOf(*f.hold), HalfClosedIdle: *f.halfClosed, Table: table, LogSessions: *f.sessions, Version: buildVersion(), Explain: explainAttempt, Logger: log,
	}
	kept, keep := clientUpkeep(c, credentials, f, log)
	defer keep.stop()
	steer.read = kept.certificates.now
	steer.reaching = func() string { return reaching(c) }
	shown, err := f.admin.show(kept.ambassador(c, steer), surfaces{service: "connect", stateDir: *f.stateDir}, env.environ, log)
	if err != nil {
		return err
	}
	defer shown.stop()
	err = supervise(service{run: c.ListenAndServe, shutdown: c.Shutdown, close: c.Close, closed: client.ErrClosed}, steer, *f.drain, log)
	if wrong := (*client.ExposeError)(nil); errors.As(err, &wrong) {
		return usage(err)
	}
	return err
}

// reaching is what a client waits for while it has no session.
func reaching(c *client.Client) string {
	why, cause := c.Trouble()
	if why == "" {
		return ""
	}
	return "no session with " + c.Provider + ": " + inShort(why, cause)
}

func checkProvider(provider string) (host string, err error) {
	host, port, err := net.SplitHostPort(provider)
	if err == nil && host != "" {
		if n, err := strconv.ParseUint(port, 10, 16); err == nil && n > 0 {
			return host, nil
		}
	}
	return "", usage(fmt.Errorf("provider %q: expected HOST:PORT, such as big-server:7000", provider))
}

// findExposes reads --expose, else takes the ports of the client's own link
// environment. None means all that the provider grants.
func findExposes(words, environ []string, log *zap.Logger) ([]link.Expose, error) {
	var exposes []link.Expose
	for _, w := range words {
		e, err := link.ParseExpose(w)
		if err != nil {
			return nil, usage(err)
		}
		exposes = append(exposes, e)
	}
	if len(exposes) > 0 {
		return exposes, nil
	}
	links, warnings := link.FromEnv(environ)
	for _, w := range warnings {
		log.Warn("link variable ignored", zap.Error(w))
	}
	forwards, err := forwardsOf(links)
	if err != nil {
		return nil, err
	}
	for _, fw := range forwards {
		exposes = append(exposes, link.Expose{Port: fw.Local})
	}
	if len(exposes) > 0 {
		log.Info("no --expose given: exposing the ports of the links in the environment", zap.Int("ports", len(exposes)))
	} else {
		log.Info("no --expose given: exposing all that the provider grants")
	}
	return exposes, nil
}

// clientCredentials takes the given files, else those of the state directory,
// where a token makes them.
func clientCredentials(cmd *cobra.Command, f connectFlags, environ []string, provider string, p *progress, log *zap.Logger) (*certs.Credentials, error) {
	files, err := f.files.files(*f.stateDir, environ)
	if err != nil {
		return nil, err
	}
	if *f.join != "" {
		if f.files.given() {
			return nil, usage(errors.New("--join makes a certificate of the provider's CA, --cert, --key and --ca bring one: give one or the other"))
		}
		token, err := readToken(*f.join, cmd.InOrStdin())
		if errors.Is(err, errNoToken) {
			// A token that was used may be gone, as a file of secrets or a pipe is.
			if c, errLoad := certs.Load(files, certs.RoleClient); errLoad == nil {
				log.Warn("no token, going on with the certificate that is there", zap.String("state_dir", files.Dir), zap.Error(err))
				return c, nil
			}
		}
		if err != nil {
			return nil, err
		}
		j := &joiner{token: token, provider: provider, dir: files.Dir, progress: p, log: log}
		if err := j.join(tellingWaits(log)(cmd.Context())); err != nil {
			return nil, err
		}
	}
	c, err := certs.Load(files, certs.RoleClient)
	if f.files.given() {
		return c, f.files.blame(err)
	}
	if errors.Is(err, certs.ErrNoCertificate) {
		return nil, fmt.Errorf("no certificate for %s: %w", provider, err)
	}
	return c, err
}

// clientKept is what keeps a client's certificate current.
type clientKept struct {
	credentials  *certs.Credentials
	certificates *reloader
	renewal      *certs.Renewal // nil if somebody else renews it
}

// clientUpkeep keeps a client's certificate current. What changes it has the
// client make a new session beside the old one.
func clientUpkeep(c *client.Client, credentials *certs.Credentials, f connectFlags, log *zap.Logger) (*clientKept, *upkeep) {
	changed := newAlarm()
	k := &clientKept{credentials: credentials}
	k.certificates = newReloader(credentials, f.files.blame, func() {
		c.Renew("other certificates")
		changed.ring()
	}, log)
	k.certificates.table = c.Table
	parts := []func(context.Context){every(lookEvery, nil, k.certificates.look)}
	if credentials.Renewable() {
		k.renewal = clientRenewal(credentials, c.Provider, changed, func() { c.Renew("certificate renewed") }, c.Table, log)
		parts = append(parts, k.renewal.Run)
	}
	return k, begin(tellingWaits(log)(context.Background()), parts...)
}
