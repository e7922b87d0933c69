package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"ambassador/certs"
	"ambassador/client"
	"ambassador/internal/link"

	"github.com/spf13/cobra"
	"go.uber.org/zap"
)

type connectFlags struct {
	expose     *[]string
	exposeHost *string
	hold       *time.Duration
	drain      *time.Duration
	stateDir   *string
	files      *certFlags
}

func newConnect(env environment) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "connect HOST:PORT",
		Short: "The client side: offer a provider's links on local ports",
		Long: `Keeps one connection with mutual TLS to the provider at HOST:PORT and offers its
links on local ports.

--expose is [LOCAL=]REMOTE. REMOTE is PORT, LINK or LINK:PORT; LOCAL is [IP:]PORT
and the same as the remote port if not given. Docker's 16379:6379 and
127.0.0.1:16379:6379 mean the same. Without --expose: the ports of the links in
the environment, else all that the provider grants.`,
		Example: `  ambassador connect big-server:7000 --expose 6379
  ambassador connect big-server:7000 --expose 16379=redis:6379 --expose postgres`,
		Args: exactArgs(1, "HOST:PORT of a provider, such as big-server:7000"),
	}
	f := connectFlags{
		expose:     cmd.Flags().StringArray("expose", nil, "local port and what it stands for: `[LOCAL=]REMOTE`; may be repeated"),
		exposeHost: addExposeHost(cmd.Flags()),
		hold:       addHold(cmd.Flags()),
		drain:      addDrainTimeout(cmd.Flags()),
		stateDir:   addStateDir(cmd.Flags()),
		files:      addCertFlags(cmd.Flags()),
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error { return connect(cmd, env, f, args[0]) }
	return cmd
}

func connect(cmd *cobra.Command, env environment, f connectFlags, provider string) error {
	log, err := newLogger(cmd, env.stderr)
	if err != nil {
		return err
	}
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
	config, err := clientTLS(f, env.environ, provider, host)
	if err != nil {
		return err
	}
	c := &client.Client{
		Provider: provider, TLSConfig: config, Expose: exposes, ExposeHost: exposeHost,
		Hold: holdOf(*f.hold), Version: buildVersion(), Explain: explainAttempt, Logger: log,
	}
	err = supervise(service{run: c.ListenAndServe, shutdown: c.Shutdown, close: c.Close, closed: client.ErrClosed}, *f.drain, log)
	if wrong := (*client.ExposeError)(nil); errors.As(err, &wrong) {
		return usage(err)
	}
	return err
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

func clientTLS(f connectFlags, environ []string, provider, host string) (*tls.Config, error) {
	files, err := f.files.files(*f.stateDir, environ)
	if err != nil {
		return nil, err
	}
	config, err := certs.ClientConfig(files, host)
	if f.files.given() {
		return config, f.files.blame(err)
	}
	if errors.Is(err, certs.ErrNoCertificate) {
		return nil, fmt.Errorf("no certificate for %s: %w", provider, err)
	}
	return config, err
}
