package main

import (
	"errors"
	"net"
	"time"

	"ambassador/internal/link"
	"ambassador/internal/live"
	"ambassador/server"

	"github.com/spf13/cobra"
	"go.uber.org/zap"
)

type serveFlags struct {
	sessions   *bool
	links      *[]string
	listen     listenFlags
	allow      *[]string
	drain      *time.Duration
	halfClosed *time.Duration
	streams    streamLimits
	stateDir   *string
	passphrase *string
	files      *certFlags
	admin      adminFlags
}

func newServe(env environment) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "serve --link SPEC...",
		Short: "The provider side: offer links to clients",
		Long: `Offers links to the clients that hold a certificate of this provider's CA, which
is made in the state directory when there is none. "ambassador invite NAME" lets
a client in, beside a running serve as well.

--link is a name (redis), a name and port (redis:6379), or NAME=HOST:PORT with
ports as 5672,15672 or 7000-7005; Docker's redis:cache (host:alias) works too.
Ports that are not given come from link variables in the environment, else from a
short table of well-known names. Without --link: every link in the environment.
Names are resolved at every connection.`,
		Example: `  ambassador serve --link redis
  ambassador serve --link cache=10.0.0.5:6379 --link mq=rabbit:5672,15672 --listen :7000`,
		Args: exactArgs(0, "no arguments, links are given with --link"),
	}
	f := serveFlags{
		sessions:   addLogSessions(cmd.Flags()),
		links:      cmd.Flags().StringArray("link", nil, "`LINK` to offer; may be repeated"),
		listen:     addListen(cmd.Flags()),
		allow:      cmd.Flags().StringArray("allow", nil, "with --ca: which certificates of that CA may use which links, as `PATTERN=LINK,LINK` on their URI or DNS name, such as 'web-*=redis'; may be repeated"),
		drain:      addDrainTimeout(cmd.Flags()),
		halfClosed: addHalfClosedIdle(cmd.Flags()),
		streams:    addStreamLimits(cmd.Flags()),
		stateDir:   addStateDir(cmd.Flags()),
		passphrase: addPassphrase(cmd.Flags()),
		files:      addCertFlags(cmd.Flags()),
		admin:      addAdmin(cmd.Flags()),
	}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return serve(cmd, env, f) }
	return cmd
}

func serve(cmd *cobra.Command, env environment, f serveFlags) error {
	log, err := newLogger(cmd, env.stderr)
	if err != nil {
		return err
	}
	if err := f.listen.check(); err != nil {
		return err
	}
	if err := f.admin.check(); err != nil {
		return err
	}
	table := new(live.Table)
	steer, stop := newSteering(table, env.stderr, log)
	defer stop()
	links, err := findLinks(*f.links, env.environ, log)
	if err != nil {
		return err
	}
	if err := checkHalfClosedIdle(*f.halfClosed); err != nil {
		return err
	}
	p, err := newProvider(tellingWaits(log)(cmd.Context()), f, env.environ, log)
	if err != nil {
		return err
	}
	s := &server.Server{
		TLSConfig: p.credentials.ServerConfig(), Authorize: p.authorize, Services: p.services,
		Links: links, HalfClosedIdle: *f.halfClosed, Table: table, LogSessions: *f.sessions, Version: buildVersion(), Logger: log,
	}
	if err := f.streams.set(s); err != nil {
		return err
	}
	listeners, err := f.listen.listeners(env.environ, log)
	if err != nil {
		return err
	}
	keep := p.upkeep(s, log)
	defer keep.stop()
	steer.read = p.reload
	shown, err := f.admin.show(p.ambassador(s, links, listeners, steer), surfaces{service: "serve", stateDir: *f.stateDir, takeOver: f.listen.shared(env.environ)}, env.environ, log)
	if err != nil {
		return errors.Join(err, s.Close())
	}
	defer shown.stop()
	return supervise(service{
		announce: func() { announce(listeners, links, log) },
		run:      func() error { return serveAll(s, listeners) },
		shutdown: s.Shutdown, close: s.Close, closed: server.ErrClosed,
	}, steer, *f.drain, log)
}

func announce(listeners []net.Listener, links []link.Link, log *zap.Logger) {
	for _, l := range listeners {
		log.Info("serving", zap.Stringer("address", l.Addr()), zap.Strings("links", names(links)))
	}
}

// findLinks turns the words into links, and says where each one's ports came
// from.
func findLinks(words, environ []string, log *zap.Logger) ([]link.Link, error) {
	links, warnings, err := link.Discover(words, environ)
	for _, w := range warnings {
		log.Warn("link variable ignored", zap.Error(w))
	}
	if err == nil && len(links) == 0 {
		err = link.NoLinks(environ)
	}
	if err != nil {
		return nil, usage(err)
	}
	for _, l := range links {
		for _, p := range l.Ports {
			log.Info("link", zap.String("link", l.Name), zap.Uint16("port", p.Number), zap.Stringer("backend_addr", p.Target), zap.String("source", string(l.Source)))
		}
	}
	return links, nil
}

func names(links []link.Link) []string {
	all := make([]string, len(links))
	for i, l := range links {
		all[i] = l.Name
	}
	return all
}
