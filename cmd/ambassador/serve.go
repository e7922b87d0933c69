package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"time"

	"ambassador/certs"
	"ambassador/internal/link"
	"ambassador/server"

	"github.com/spf13/cobra"
	"go.uber.org/zap"
)

type serveFlags struct {
	links      *[]string
	listen     listenFlags
	allow      *[]string
	drain      *time.Duration
	streams    streamLimits
	stateDir   *string
	passphrase *string
	files      *certFlags
}

func newServe(env environment) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "serve --link SPEC...",
		Short: "The provider side: offer links to clients",
		Long: `Offers links to the clients that hold a certificate of this provider's CA, which
is made in the state directory when there is none.

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
		links:      cmd.Flags().StringArray("link", nil, "`LINK` to offer; may be repeated"),
		listen:     addListen(cmd.Flags()),
		allow:      cmd.Flags().StringArray("allow", nil, "with --ca: which certificates of that CA may use which links, as `PATTERN=LINK,LINK` on their URI or DNS name, such as 'web-*=redis'; may be repeated"),
		drain:      addDrainTimeout(cmd.Flags()),
		streams:    addStreamLimits(cmd.Flags()),
		stateDir:   addStateDir(cmd.Flags()),
		passphrase: addPassphrase(cmd.Flags()),
		files:      addCertFlags(cmd.Flags()),
	}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return serve(cmd, env, f) }
	return cmd
}

func serve(cmd *cobra.Command, env environment, f serveFlags) error {
	log, err := newLogger(cmd, env.stderr)
	if err != nil {
		return err
	}
	links, err := findLinks(*f.links, env.environ, log)
	if err != nil {
		return err
	}
	if err := f.listen.check(); err != nil {
		return err
	}
	config, authorize, err := providerTLS(f, env.environ, log)
	if err != nil {
		return err
	}
	s := &server.Server{TLSConfig: config, Authorize: authorize, Links: links, Version: buildVersion(), Logger: log}
	if err := f.streams.set(s); err != nil {
		return err
	}
	listeners, err := f.listen.listeners(env.environ, log)
	if err != nil {
		return err
	}
	for _, l := range listeners {
		log.Info("serving", zap.Stringer("address", l.Addr()), zap.Strings("links", names(links)))
	}
	return supervise(service{
		run:      func() error { return serveAll(s, listeners) },
		shutdown: s.Shutdown, close: s.Close, closed: server.ErrClosed,
	}, *f.drain, log)
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

type authorizer = func(tls.ConnectionState) (server.Peer, error)

// providerTLS takes the given files, else those of the private CA, which it
// makes when it is missing.
func providerTLS(f serveFlags, environ []string, log *zap.Logger) (*tls.Config, authorizer, error) {
	if f.files.given() {
		return foreignTLS(f, environ)
	}
	if len(*f.allow) > 0 {
		return nil, nil, usage(errors.New("--allow goes with --ca: clients of the private CA get their links from \"ambassador certs issue NAME --link LINK\""))
	}
	dir, err := stateDir(*f.stateDir, environ)
	if err != nil {
		return nil, nil, err
	}
	ca, err := ensureCA(dir, *f.passphrase, func(msg string) { log.Info(msg, zap.String("state_dir", dir)) })
	if err != nil {
		return nil, nil, err
	}
	made, err := ca.EnsureProvider()
	if err != nil {
		return nil, nil, err
	}
	if made {
		log.Info("made the provider's certificate", zap.String("state_dir", dir))
	}
	config, err := certs.ServerConfig(certs.StateFiles(dir))
	return config, grantsOf(ca), err
}

// grantsOf authorizes by the grants that the CA keeps. They are read for each
// session, so that "certs issue" beside a running provider takes effect.
func grantsOf(ca *certs.CA) authorizer {
	return func(cs tls.ConnectionState) (server.Peer, error) {
		id, err := certs.PeerIdentity(cs)
		if err != nil {
			return server.Peer{}, err
		}
		links, ok, err := ca.Grant(id)
		if err != nil {
			return server.Peer{}, err
		}
		if !ok {
			return server.Peer{}, fmt.Errorf("%s has a certificate of this CA but no record of a grant: issue it anew with \"ambassador certs issue\"", id)
		}
		return server.Peer{Identity: id, Links: links}, nil
	}
}

// foreignTLS uses another CA's certificates: nobody may do anything that
// --allow does not say.
func foreignTLS(f serveFlags, environ []string) (*tls.Config, authorizer, error) {
	files, err := f.files.files(*f.stateDir, environ)
	if err != nil {
		return nil, nil, err
	}
	rules, err := parseAllow(*f.allow)
	if err != nil {
		return nil, nil, usage(err)
	}
	config, err := certs.ServerConfig(files)
	return config, rules.authorize, f.files.blame(err)
}
