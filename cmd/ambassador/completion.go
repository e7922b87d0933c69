package main

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"ambassador/internal/admin"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// What shells offer for arguments and for the values of flags. The scripts are
// cobra's: "ambassador completion bash".

// completeWithin is how long a person who pressed Tab waits for a running
// ambassador.
const completeWithin = time.Second

// choices are the flags that take one of a few words.
var choices = map[string][]string{
	"output":     {"text", "json"},
	"log-format": {"auto", "text", "json"},
	"log-level":  {"debug", "info", "warn", "error"},
}

// addCompletionCommand adds cobra's command for the scripts, which takes any word
// for a shell and shows its help then.
func addCompletionCommand(root *cobra.Command) {
	root.InitDefaultCompletionCmd()
	cmd, _, err := root.Find([]string{"completion"})
	if err != nil || cmd == root {
		return
	}
	cmd.Args = nil
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return cmd.Help()
		}
		var shells []string
		for _, sub := range cmd.Commands() {
			shells = append(shells, sub.Name())
		}
		return usage(fmt.Errorf("completion %q: expected one of %s", args[0], strings.Join(shells, ", ")))
	}
}

type completer = func(cmd *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective)

// addCompletions goes through all commands below cmd.
func addCompletions(cmd *cobra.Command, environ []string) {
	complete := func(f *pflag.Flag) {
		// Fails for what has one already: a persistent flag of a command above.
		_ = cmd.RegisterFlagCompletionFunc(f.Name, completerOf(cmd, f, environ))
	}
	cmd.LocalFlags().VisitAll(complete)
	cmd.PersistentFlags().VisitAll(complete)
	if cmd.ValidArgsFunction == nil && cmd.Runnable() {
		cmd.ValidArgsFunction = argumentsOf(cmd, environ)
	}
	for _, sub := range cmd.Commands() {
		addCompletions(sub, environ)
	}
}

// completerOf is what a flag takes: by its name, else by the word that stands for
// its value.
func completerOf(cmd *cobra.Command, f *pflag.Flag, environ []string) completer {
	if words := choices[f.Name]; words != nil {
		return offer(func(*cobra.Command) []string { return words })
	}
	services := slices.Contains(services, cmd.Name())
	switch {
	case f.Name == "link" && !services:
		return offer(askRunning(environ, linksOf))
	case f.Name == "peer":
		return offer(askRunning(environ, peersOf))
	}
	value, _ := pflag.UnquoteUsage(f)
	switch value {
	case "DIR":
		return directive(cobra.ShellCompDirectiveFilterDirs)
	case "FILE", "PATH":
		return directive(cobra.ShellCompDirectiveDefault)
	}
	return directive(cobra.ShellCompDirectiveNoFileComp)
}

// argumentsOf is what stands behind a command.
func argumentsOf(cmd *cobra.Command, environ []string) completer {
	first, more, _ := strings.Cut(strings.TrimPrefix(cmd.Use, cmd.Name()+" "), " ")
	switch {
	case first == "DIR" || first == "[FILE|DIR]":
		return directive(cobra.ShellCompDirectiveDefault)
	case first != "NAME" || cmd.Name() == "invite" || cmd.Name() == "issue":
		return directive(cobra.ShellCompDirectiveNoFileComp)
	}
	return func(cmd *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
		switch {
		case len(args) == 0:
			return offer(clientsOf(environ))(cmd, args, begun)
		case more != "":
			return offer(askRunning(environ, linksOf))(cmd, args, begun)
		}
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
}

func directive(d cobra.ShellCompDirective) completer {
	return func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) { return nil, d }
}

// offer offers those of the words that have been begun.
func offer(words func(*cobra.Command) []string) completer {
	return func(cmd *cobra.Command, _ []string, begun string) ([]string, cobra.ShellCompDirective) {
		var fit []string
		for _, w := range words(cmd) {
			if strings.HasPrefix(w, begun) {
				fit = append(fit, w)
			}
		}
		return fit, cobra.ShellCompDirectiveNoFileComp
	}
}

// askRunning asks the ambassadors that run here. Who presses Tab has no use for an
// error: then there is nothing to offer.
func askRunning(environ []string, words func(context.Context, *admin.Remote) []string) func(*cobra.Command) []string {
	return func(cmd *cobra.Command) []string {
		_ = configure(cmd, environ) // cobra does not come to it by itself here
		ctx, cancel := context.WithTimeout(context.Background(), completeWithin)
		defer cancel()
		find := &finder{flags: cmd.Flags(), environ: environ, socket: valueOf(cmd, "control-socket"), stateDir: valueOf(cmd, "state-dir")}
		found, err := find.all(ctx)
		if err != nil {
			return nil
		}
		var all []string
		for _, r := range found {
			all = append(all, words(ctx, r)...)
			r.Close()
		}
		slices.Sort(all)
		return slices.Compact(all)
	}
}

func valueOf(cmd *cobra.Command, flag string) *string {
	value := ""
	if f := cmd.Flags().Lookup(flag); f != nil {
		value = f.Value.String()
	}
	return &value
}

func linksOf(ctx context.Context, r *admin.Remote) []string {
	var names []string
	known, _ := r.Links(ctx, 0, 0) // without it there is nothing to offer
	for _, l := range known.Links {
		names = append(names, l.Name)
	}
	return names
}

func peersOf(ctx context.Context, r *admin.Remote) []string {
	var names []string
	known, _ := r.Peers(ctx) // as above
	for _, p := range known.Peers {
		names = append(names, path.Base(p.Identity))
	}
	return names
}

// clientsOf are the clients that the CA knows.
func clientsOf(environ []string) func(*cobra.Command) []string {
	return func(cmd *cobra.Command) []string {
		_ = configure(cmd, environ)
		ctx, cancel := context.WithTimeout(context.Background(), completeWithin)
		defer cancel()
		ca, err := openCA(ctx, *valueOf(cmd, "state-dir"), environ)
		if err != nil {
			return nil
		}
		clients, err := ca.Clients()
		if err != nil {
			return nil
		}
		var names []string
		for _, c := range clients {
			names = append(names, path.Base(c.Identity))
		}
		return names
	}
}
