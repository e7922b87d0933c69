package main

import (
	"context"
	"fmt"
	"net"

	"ambassador/internal/admin"

	"github.com/spf13/pflag"
	"go.uber.org/zap"
)

func addMetricsAddr(f *pflag.FlagSet) *string {
	return f.String("metrics-addr", "", "`ADDRESS` for /metrics, /livez and /readyz by HTTP: [IP]:PORT, such as 127.0.0.1:9101; whoever reaches it needs no certificate and sees names, but can change nothing (default none)")
}

func checkMetricsAddr(address string) error {
	if address != "" && !isAddress(address) {
		return fmt.Errorf("--metrics-addr %q: expected [IP]:PORT, such as 127.0.0.1:9101", address)
	}
	return nil
}

// serveMetrics opens --metrics-addr, if it was given. It was asked for, so that a
// start without it would be a failed one.
func (s *shown) serveMetrics(address string, a *admin.Ambassador, log *zap.Logger) error {
	if address == "" {
		return nil
	}
	l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", address)
	if err != nil {
		return fmt.Errorf("--metrics-addr %s cannot be opened: %w: free it, or choose another", address, err)
	}
	web := &admin.Web{Handler: a.Scraped(), Logger: log}
	s.run(web.Serve, web.Close, l, log)
	log.Info("metrics and health open", zap.Stringer("address", l.Addr()))
	return nil
}
