package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"time"

	"ambassador/internal/link"
)

// resolve looks a name up. where is where a person wrote it.
func resolve(ctx context.Context, host, where string) trouble {
	if _, err := netip.ParseAddr(host); err == nil {
		return trouble{found: host + " is an address: nothing to look up"}
	}
	found, took, err := lookUp(ctx, host)
	if err != nil {
		problem, fix := nameTrouble(host, where, err)
		return trouble{problem: problem, fix: fix}
	}
	return trouble{found: fmt.Sprintf("%s is %s, in %s", host, strings.Join(found, ", "), brief(took))}
}

// trouble is what was found, or what is wrong and what to do.
type trouble struct{ found, problem, fix string }

// note adds it to the findings, and says whether there is none.
func (d *diagnosis) note(check, about string, t trouble) bool {
	if t.problem != "" {
		d.fail(check, about, t.problem, t.fix)
		return false
	}
	d.ok(check, about, "%s", t.found)
	return true
}

func lookUp(ctx context.Context, host string) (found []string, took time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, stepWithin)
	defer cancel()
	began := time.Now()
	found, err = net.DefaultResolver.LookupHost(ctx, host)
	return found, time.Since(began), err
}

// nameTrouble is what is wrong with a name, and what to do. where is where a
// person wrote it.
func nameTrouble(host, where string, err error) (problem, fix string) {
	var dns *net.DNSError
	switch {
	case errors.As(err, &dns) && dns.IsNotFound:
		return fmt.Sprintf("no name server and no hosts file knows %s", host),
			fmt.Sprintf("correct the name in %s, or add it to DNS or /etc/hosts; in Docker, put both containers on one user-defined network", where)
	case errors.As(err, &dns) && dns.IsTimeout, errors.Is(err, context.DeadlineExceeded):
		return fmt.Sprintf("no name server said within %v what %s is", stepWithin, host), "check the name servers in /etc/resolv.conf, and that this host reaches them"
	}
	return fmt.Sprintf("%s could not be looked up: %v", host, err), "check the name servers in /etc/resolv.conf"
}

// connects makes a connection for check, which the caller closes; nil if it could
// not. refused is what to do when nothing listens there.
func (d *diagnosis) connects(ctx context.Context, check, about string, t link.Target, self func(netip.AddrPort) bool, refused string) net.Conn {
	d.show.waiting("%s: connecting to %s", check, t)
	c, took, err := connectTo(ctx, t, self)
	if err != nil {
		problem, fix := dialTrouble(t.String(), refused, err)
		d.fail(check, about, problem, fix)
		return nil
	}
	d.ok(check, about, "%s takes connections, in %s", c.RemoteAddr(), brief(took))
	return c
}

func connectTo(ctx context.Context, t link.Target, self func(netip.AddrPort) bool) (net.Conn, time.Duration, error) {
	began := time.Now()
	dialer := link.Dialer{Timeout: stepWithin, Self: self}
	c, err := dialer.Dial(ctx, t, 0)
	if err != nil {
		return nil, 0, err
	}
	return c, time.Since(began), nil
}

// dialTrouble is why an address could not be connected to, and what to do.
func dialTrouble(address, refused string, err error) (problem, fix string) {
	var dns *net.DNSError
	switch {
	case errors.Is(err, link.ErrSelf):
		return address + " is where this ambassador itself listens: it would make a circle", "let the link lead to the service, or --listen on another port"
	case errors.As(err, &dns):
		return nameTrouble(dns.Name, "the address", err)
	case errors.Is(err, syscall.ECONNREFUSED):
		return address + " refuses connections: nothing listens on that port", refused
	case errors.Is(err, syscall.ECONNRESET):
		return address + " takes connections and resets them at once: that is how a proxy or a published port looks that has nobody behind it", refused
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return "there is no way to " + address + " from this host", "check the address, this host's routes, and that the other host is up"
	case errors.Is(err, syscall.EPERM), errors.Is(err, syscall.EACCES):
		return address + " may not be connected to from here", "check this host's own firewall rules, and the process's sandbox"
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE):
		return "no file descriptor is left", `raise the limit: "ulimit -n", LimitNOFILE= of the unit, or --ulimit of the container`
	case timedOut(err):
		return fmt.Sprintf("%s did not answer a connection within %v: that is how a firewall looks that drops packets, or a host that is down", address, stepWithin),
			"check the address, that the host is up, and that the firewalls on the way let that port pass"
	}
	return fmt.Sprintf("%s could not be connected to: %v", address, err), "check the address and the network"
}

func timedOut(err error) bool {
	var timeout net.Error
	return errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded) || errors.As(err, &timeout) && timeout.Timeout()
}

// brief is a short time as a person reads it.
func brief(took time.Duration) string {
	switch {
	case took < 10*time.Millisecond:
		return fmt.Sprintf("%.1f ms", float64(took)/float64(time.Millisecond))
	case took < time.Second:
		return fmt.Sprintf("%d ms", took.Milliseconds())
	}
	return fmt.Sprintf("%.1f s", took.Seconds())
}
