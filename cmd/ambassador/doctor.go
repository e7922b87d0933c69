package main

import (
	"context"
	"time"

	"ambassador/internal/admin"

	"github.com/spf13/cobra"
)

// doctor says why it does not work, hop by hop:
//
//	doctor_report.go    what was found, and how it is shown
//	doctor_client.go    the client's side, from --expose to the backend
//	doctor_visit.go     its TLS handshake and what the provider says then
//	doctor_reach.go     names and connections, on both sides
//	doctor_files.go     the state directory and the certificate, on both sides
//	doctor_ports.go     local ports, and who holds them
//	doctor_provider.go  the provider's side, from --link to the backend
//	doctor_ca.go        its CA, grants and invitations
//	doctor_host.go      what the host grants: disk, descriptors
//	doctor_running.go   what an ambassador that runs here says of itself

// Bounds of doctor's waits: for all of it, and for one step over a network.
const (
	doctorWithin = 15 * time.Second
	stepWithin   = 3 * time.Second
)

type doctorFlags struct {
	links      *[]string
	listen     listenFlags
	streams    streamLimits
	expose     *[]string
	exposeHost *string
	find       *finder // its stateDir is that of all
	files      *certFlags
	output     *string
}

func newDoctor(env environment) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "doctor [HOST:PORT]",
		Short: "Find out why it does not work, hop by hop",
		Long: `Follows the way of a connection and says of each hop what it found, and what to
do where it fails. It needs no running ambassador, disturbs none, opens no port,
and changes no file.

With HOST:PORT of a provider it looks from the client's side: what is exposed,
certificate and clock, name, connection, TLS, whether the provider lets this client
in, what it grants, and a round trip to the backend of each port. It takes the flags
of "connect".

Without an argument it looks from the provider's side: links and where they come
from, names and backends, CA, certificate, grants, port and limits. It takes the
flags of "serve". Where only a client runs, it looks from that one's side.

An ambassador that runs here is asked over its control socket what it offers or
opens, and how it sees itself.

Each line names a check; docs/doctor.md lists them. The exit code is 1 when one of
them failed.`,
		Example: `  ambassador doctor big-server:7000 --expose 6379
  ambassador doctor --link redis
  ambassador doctor big-server:7000 -o json`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 1 {
				return exactArgs(1, "HOST:PORT of a provider, or nothing on the provider's host")(cmd, args)
			}
			return nil
		},
	}
	f := doctorFlags{
		links:      cmd.Flags().StringArray("link", nil, "`LINK` to look at, as serve has it; may be repeated"),
		listen:     addListen(cmd.Flags()),
		streams:    addStreamLimits(cmd.Flags()),
		expose:     cmd.Flags().StringArray("expose", nil, "local port and what it stands for, as connect has it: `[LOCAL=]REMOTE`; may be repeated"),
		exposeHost: addExposeHost(cmd.Flags()),
		find:       addFinder(cmd.Flags(), env),
		files:      addCertFlags(cmd.Flags()),
		output:     addOutput(cmd.Flags()),
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error { return doctor(cmd, env, f, args) }
	return cmd
}

func doctor(cmd *cobra.Command, env environment, f doctorFlags, args []string) error {
	asJSON, err := wantsJSON(*f.output)
	if err != nil {
		return err
	}
	d := &diagnosis{Schema: 1, Side: "provider", Time: time.Now().UTC(), Checks: []finding{}}
	if !asJSON {
		d.show = newDisplay(cmd.OutOrStdout(), env.environ)
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), doctorWithin)
	defer cancel()
	here := d.findRunning(ctx, f)
	serving, client := here[admin.RoleProvider], here[admin.RoleClient]
	switch {
	case len(args) == 1:
		d.Side, d.Provider, d.running = "client", args[0], client
	case len(*f.links) == 0 && serving == nil && client != nil:
		// Only a client runs here, and knows its provider.
		d.Side, d.Provider, d.running = "client", client.status.Provider, client
	default:
		d.running = serving
	}
	look := d.provider
	if d.Side == "client" {
		look = d.client
	}
	if err := look(ctx, cmd, env, f); err != nil {
		return err // wrong usage
	}
	d.tell(d.running)
	err = d.end()
	if !asJSON {
		return err
	}
	if errWrite := writeJSON(cmd.OutOrStdout(), d); errWrite != nil {
		return errWrite
	}
	return err
}
