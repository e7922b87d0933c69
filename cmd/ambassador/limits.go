package main

import (
	"fmt"

	"ambassador/server"

	"github.com/spf13/pflag"
)

// streamLimits are what one client, and all clients together, may have open.
type streamLimits struct{ all, client *int }

func addStreamLimits(f *pflag.FlagSet) streamLimits {
	return streamLimits{
		all:    f.Int("max-streams", 65536, "`NUMBER` of connections that all clients together may have open; one more is reset, and both logs say why. Each takes a file descriptor"),
		client: f.Int("max-client-streams", 16384, "`NUMBER` of connections that one client may have open"),
	}
}

// set puts the limits into a server.
func (l streamLimits) set(s *server.Server) error {
	for name, n := range map[string]int{"max-streams": *l.all, "max-client-streams": *l.client} {
		if n < 1 {
			return usage(fmt.Errorf("--%s %d: expected a number above 0", name, n))
		}
	}
	s.MaxStreams, s.MaxClientStreams = *l.all, *l.client
	return nil
}
