package main

import (
	"fmt"

	"ambassador/server"

	"github.com/spf13/pflag"
)

// streamLimits are what one client, and all clients together, may have open.
type streamLimits struct{ all, client, dials *int }

func addStreamLimits(f *pflag.FlagSet) streamLimits {
	return streamLimits{
		all:    f.Int("max-streams", 65536, "`NUMBER` of connections that all clients together may have open; one more is reset, and both logs say why. Each takes a file descriptor"),
		client: f.Int("max-client-streams", 16384, "`NUMBER` of connections that one client may have open"),
		dials:  f.Int("max-client-dials", 128, "`NUMBER` of connections to one link's backends that are being made for one client at a time; the next waits for its turn, within its --hold"),
	}
}

// set puts the limits into a server.
func (l streamLimits) set(s *server.Server) error {
	for _, limit := range []struct {
		name  string
		given int
		field *int
	}{
		{"max-streams", *l.all, &s.MaxStreams},
		{"max-client-streams", *l.client, &s.MaxClientStreams},
		{"max-client-dials", *l.dials, &s.MaxClientDials},
	} {
		if limit.given < 1 {
			return usage(fmt.Errorf("--%s %d: expected a number above 0", limit.name, limit.given))
		}
		*limit.field = limit.given
	}
	return nil
}
