package main

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"ambassador/internal/admin"

	"github.com/spf13/pflag"
	"go.uber.org/zap"
)

// dashboardFlags say where the dashboard is, and for whom.
type dashboardFlags struct {
	address *string
	hosts   *[]string
	public  *bool
}

func addDashboard(f *pflag.FlagSet) dashboardFlags {
	return dashboardFlags{
		address: f.String("ui-addr", "", "`ADDRESS` of the dashboard for browsers, such as 127.0.0.1:7080; off if not given. It is read-only and has no login"),
		hosts:   f.StringArray("ui-host", nil, "`NAME` or address that browsers reach the dashboard by, besides localhost and the address itself, such as that of a proxy; may be repeated"),
		public:  f.Bool("ui-public", false, "let --ui-addr be an address that other hosts reach: all of them then see the dashboard"),
	}
}

// listen opens the dashboard's port, nil if it is not wanted.
func (f dashboardFlags) listen() (net.Listener, error) {
	if *f.address == "" {
		return nil, nil
	}
	l, err := net.Listen("tcp", *f.address)
	if err != nil {
		return nil, fmt.Errorf("--ui-addr %s cannot be opened: %w: free it, or choose another", *f.address, err)
	}
	return l, nil
}

// check refuses an address that other hosts reach, unless that is wanted: whoever
// reaches the page sees who is connected, and it asks for no password.
func (f dashboardFlags) check() error {
	switch {
	case *f.address != "":
	case len(*f.hosts) > 0:
		return errors.New("--ui-host without --ui-addr: there is no dashboard then: give --ui-addr, such as 127.0.0.1:7080")
	case *f.public:
		return errors.New("--ui-public without --ui-addr: there is no dashboard then: give --ui-addr, such as 0.0.0.0:7080")
	default:
		return nil
	}
	host, port, err := net.SplitHostPort(*f.address)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err != nil {
		return fmt.Errorf("--ui-addr %q: expected IP:PORT, such as 127.0.0.1:7080", *f.address)
	}
	for _, h := range *f.hosts {
		if _, err := netip.ParseAddr(h); err != nil && (h == "" || strings.ContainsAny(h, ":/*@ ")) {
			return fmt.Errorf("--ui-host %q: expected a name or an address alone, without a port", h)
		}
	}
	ip, err := netip.ParseAddr(host)
	if local := host == "localhost" || err == nil && ip.IsLoopback(); !local && !*f.public {
		return fmt.Errorf("--ui-addr %s can be reached from other hosts, and the dashboard has no login: use 127.0.0.1:%s, from elsewhere through \"ssh -L %s:127.0.0.1:%s HOST\", or add --ui-public if all who reach it may see it", *f.address, port, port, port)
	}
	return nil
}

// dashboard serves it on a listener, with the others that show an ambassador.
func (s *shown) dashboard(f dashboardFlags, a *admin.Ambassador, l net.Listener, log *zap.Logger) {
	d := &admin.Dashboard{Ambassador: a, Hosts: *f.hosts, Logger: log}
	s.run(d.Serve, d.Close, l, log)
	log.Info("dashboard open", zap.String("url", "http://"+l.Addr().String()+"/"))
	if *f.public {
		log.Warn("the dashboard is open to all who reach its address: it has no login", zap.Stringer("address", l.Addr()))
	}
}
