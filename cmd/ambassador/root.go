package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"ambassador/certs"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"go.uber.org/zap"
)

// environment is all that a run takes from the outside.
type environment struct {
	args    []string
	environ []string
	stdout  io.Writer // results
	stderr  io.Writer // logs and errors
}

// execute runs one command line and returns its exit code.
func execute(env environment) int {
	root := newRoot(env)
	root.SetArgs(withForward(root, env.args))
	root.SetOut(env.stdout)
	root.SetErr(env.stderr)
	cmd, err := root.ExecuteContextC(certs.OnWait(context.Background(), func(path string) {
		fmt.Fprintf(env.stderr, "ambassador: %s %s\n", waitingFor, path)
	}))
	if err != nil && !errors.Is(err, errSaid) {
		tellEnd(cmd, env.stderr, err)
	}
	return exitCode(err)
}

// tellEnd writes the last line. Of a service whose log is to be JSON it is a line
// of that log: who reads it understands no other.
func tellEnd(cmd *cobra.Command, stderr io.Writer, err error) {
	if slices.Contains(services, cmd.Name()) && flagText(cmd, "log-format") == "json" {
		if log, errLog := newLogger(cmd, stderr); errLog == nil {
			log.Error("ended", zap.Error(err), zap.Int("exit_code", exitCode(err)))
			return
		}
	}
	fmt.Fprintf(stderr, "ambassador: %v\n", err)
}

// waitingFor is what a command says that waits for a lock, before its path.
const waitingFor = "waiting for another process that holds"

// tellingWaits makes contexts in which waits for locks are logged: once a
// minute, as it may be that everybody who comes has to wait.
func tellingWaits(log *zap.Logger) func(context.Context) context.Context {
	var mu sync.Mutex
	var last time.Time
	tell := func(path string) {
		mu.Lock()
		defer mu.Unlock()
		if time.Since(last) >= time.Minute {
			last = time.Now()
			log.Warn(waitingFor + " " + path)
		}
	}
	return func(ctx context.Context) context.Context { return certs.OnWait(ctx, tell) }
}

func newRoot(env environment) *cobra.Command {
	root := &cobra.Command{
		Use:   "ambassador",
		Short: "Reach a service on another host as if it stood next to you",
		Long: `Two ambassadors join a consumer on one host with a service on another, over
one connection with mutual TLS.

On the host of the service:    ambassador serve --link redis
                               ambassador invite client-server --link redis
On the host of the consumer:   ambassador connect big-server:7000 --join TOKEN --expose 6379

Every flag can also be set by the environment, as AMBASSADOR_ and its name in
capitals with _ for - (lists are separated by spaces), and in a YAML file given
with --config, under its name. Flags beat the environment, which beats the file.
"ambassador HOST PORT" is short for "ambassador forward HOST PORT".`,
		Args:                       cobra.ArbitraryArgs,
		SilenceUsage:               true,
		SilenceErrors:              true,
		SuggestionsMinimumDistance: 2,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return cmd.Help()
			}
			return unknownCommand(cmd, args[0])
		},
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error { return configure(cmd, env.environ) },
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usage(fmt.Errorf("%w: see %q", plainFlag(err), cmd.CommandPath()+" --help"))
	})
	root.PersistentFlags().String("config", "", "YAML `FILE` with flags by their names")
	addLogFlags(root.PersistentFlags())
	root.AddCommand(newServe(env), newConnect(env), newForward(env),
		newInvite(env), newGrant(env), newRevoke(env), newCerts(env), newDoctor(env), newVersion(), newMan(),
		newStatus(env), newLinks(env), newPeers(env), newSessions(env),
		newHealthcheck(env), newWait(env), newReload(env), newDrain(env))
	addCompletions(root, env.environ)
	addCompletionCommand(root)
	return root
}

// plainFlag is an error about a flag's value, with plainValue's words.
func plainFlag(err error) error {
	var value *pflag.InvalidValueError
	if plain := plainValue(err); plain != err && errors.As(err, &value) {
		return fmt.Errorf("--%s %q: %w", value.GetFlag().Name, value.GetValue(), plain)
	}
	return err
}

// plainValue says what was expected, where err names a function of Go's.
func plainValue(err error) error {
	var number *strconv.NumError
	switch {
	case !errors.As(err, &number):
		return err
	case number.Func == "ParseBool":
		return errors.New("expected true or false")
	case errors.Is(number, strconv.ErrRange):
		return errors.New("expected a smaller number")
	}
	return errors.New("expected a whole number")
}

// withForward makes HOST PORT the arguments of forward, as the image of 2013
// took them.
func withForward(root *cobra.Command, args []string) []string {
	if len(args) < 2 || strings.HasPrefix(args[0], "-") {
		return args
	}
	if _, err := strconv.ParseUint(args[1], 10, 16); err != nil {
		return args
	}
	if cmd, _, err := root.Find(args); err != nil || cmd != root {
		return args
	}
	return append([]string{"forward"}, args...)
}

func unknownCommand(cmd *cobra.Command, name string) error {
	msg := fmt.Sprintf("unknown command %q", name)
	if near := cmd.SuggestionsFor(name); len(near) > 0 {
		msg += fmt.Sprintf(", did you mean %q?", near[0])
	}
	return usage(errors.New(msg + ` See "ambassador --help"`))
}

// exactArgs is cobra's check with our exit code and a word about what was
// expected.
func exactArgs(n int, expected string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == n {
			return nil
		}
		return usage(fmt.Errorf("%s: expected %s, got %d argument(s): see %q", cmd.CommandPath(), expected, len(args), cmd.CommandPath()+" --help"))
	}
}
