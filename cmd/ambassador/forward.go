package main

import (
	"errors"
	"time"

	"ambassador/client"
	"ambassador/internal/link"
	"ambassador/internal/live"

	"github.com/spf13/cobra"
	"go.uber.org/zap"
)

type forwardFlags struct {
	sessions   *bool
	exposeHost *string
	hold       *time.Duration
	drain      *time.Duration
	halfClosed *time.Duration
	stateDir   *string
	admin      adminFlags
}

func newForward(env environment) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "forward [HOST PORT]",
		Short: "Forward local ports to links in one tier, in the clear",
		Long: `Listens on every port of the links found in the environment and forwards it to
the link's address, as Docker's ambassador image of 2013 did. HOST PORT forwards
the one port instead.

A link is a variable such as REDIS_PORT_6379_TCP=tcp://redis:6379: the local port
is the number in the name. Docker Engine sets them for --link up to version 28;
later, or elsewhere, set them yourself. Names are resolved at every connection.`,
		Example: `  docker run -d --link redis:redis -p 6379:6379 ambassador
  docker run -d -e REDIS_PORT_6379_TCP=tcp://192.168.1.52:6379 -p 6379:6379 ambassador
  ambassador forward 192.168.1.52 6379`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			return exactArgs(2, "HOST PORT or nothing")(cmd, args)
		},
	}
	f := forwardFlags{
		sessions:   addLogSessions(cmd.Flags()),
		exposeHost: addExposeHost(cmd.Flags()),
		hold:       addHold(cmd.Flags()),
		drain:      addDrainTimeout(cmd.Flags()),
		halfClosed: addHalfClosedIdle(cmd.Flags()),
		stateDir:   cmd.Flags().String("state-dir", "", "`DIR` for the control socket (default as for serve)"),
		admin:      addAdmin(cmd.Flags()),
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error { return forward(cmd, env, f, args) }
	return cmd
}

func forward(cmd *cobra.Command, env environment, f forwardFlags, args []string) error {
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
	forwards, err := findForwards(env.environ, args, log)
	if err != nil {
		return err
	}
	host, err := checkExposeHost(*f.exposeHost)
	if err != nil {
		return err
	}
	if err := checkHalfClosedIdle(*f.halfClosed); err != nil {
		return err
	}
	fw := &client.Forwarder{Forwards: forwards, ExposeHost: host, Hold: holdOf(*f.hold), HalfClosedIdle: *f.halfClosed, Table: table, LogSessions: *f.sessions, Logger: log}
	steer.read = func() error {
		log.Info("nothing to reload: forward has no certificates")
		return nil
	}
	shown, err := f.admin.show(forwarderAmbassador(fw, steer), surfaces{service: "forward", stateDir: *f.stateDir}, env.environ, log)
	if err != nil {
		return err
	}
	defer shown.stop()
	return supervise(service{run: fw.ListenAndServe, shutdown: fw.Shutdown, close: fw.Close, closed: client.ErrClosed}, steer, *f.drain, log)
}

// findForwards is what the image of 2013 did with sed.
func findForwards(environ, args []string, log *zap.Logger) ([]link.Forward, error) {
	if len(args) == 2 {
		l, err := link.FromArgs(args[0], args[1])
		if err != nil {
			return nil, usage(err)
		}
		return forwardsOf([]link.Link{l})
	}
	links, warnings := link.FromEnv(environ)
	for _, w := range warnings {
		log.Warn("link variable ignored", zap.Error(w))
	}
	if len(links) == 0 {
		return nil, link.NoLinks(environ) // exit code 1, as in 2013
	}
	return forwardsOf(links)
}

func forwardsOf(links []link.Link) ([]link.Forward, error) {
	forwards, err := link.Forwards(links)
	if errors.Is(err, link.ErrUsage) {
		return nil, usage(err)
	}
	return forwards, err
}
