package main

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/spf13/pflag"
)

// Flags that several commands share.

const (
	defaultDrainTimeout = 30 * time.Second
	defaultHold         = 3 * time.Second

	defaultHalfClosedIdle = 24 * time.Hour // internal/relay's own
)

func addDrainTimeout(f *pflag.FlagSet) *time.Duration {
	return f.Duration("drain-timeout", defaultDrainTimeout, "how long SIGTERM waits for running connections; after it they are reset and the exit code is 3")
}

func addHold(f *pflag.FlagSet) *time.Duration {
	return f.Duration("hold", defaultHold, "how long a consumer waits for what is down or restarting, before it sees a reset; 0 does not wait, and a provider grants 10m at most")
}

// holdOf makes 0 what it says: the packages take a zero field for their default.
func holdOf(d time.Duration) time.Duration {
	if d <= 0 {
		return -1
	}
	return d
}

// addHalfClosedIdle: HAProxy has two for it, "timeout client-fin" and "timeout
// server-fin". Ours is one, and bytes start it anew: a reply may take hours.
func addHalfClosedIdle(f *pflag.FlagSet) *time.Duration {
	return f.Duration("half-closed-idle", defaultHalfClosedIdle, "how long a connection of which one end has finished may carry nothing the other way; then both ends are reset")
}

func checkHalfClosedIdle(d time.Duration) error {
	if d <= 0 {
		return usage(fmt.Errorf("--half-closed-idle %v: expected a time above 0, such as 10m", d))
	}
	return nil
}

func addExposeHost(f *pflag.FlagSet) *string {
	return f.String("expose-host", "127.0.0.1", "`ADDRESS` that local ports bind; 0.0.0.0 opens them to the network")
}

func checkExposeHost(host string) (string, error) {
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	if _, err := netip.ParseAddr(host); err != nil {
		return "", usage(fmt.Errorf("--expose-host %q: expected an IP address such as 127.0.0.1 or 0.0.0.0", host))
	}
	return host, nil
}
