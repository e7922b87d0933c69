package main

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"ambassador/certs"
	"ambassador/internal/link"

	"github.com/spf13/cobra"
)

// provider looks from the provider's side. Its error is wrong usage.
func (d *diagnosis) provider(ctx context.Context, cmd *cobra.Command, env environment, f doctorFlags) error {
	if err := f.listen.check(); err != nil {
		return err
	}
	links := d.links(cmd, f, env.environ)
	d.backends(ctx, links, f)
	own, err := d.ownCertificate(f, certs.RoleProvider, env.environ)
	if err != nil {
		return err
	}
	if !f.files.given() {
		dir, err := stateDir(*f.find.stateDir, env.environ)
		if err != nil {
			return err
		}
		d.ca(dir, links)
		d.disk(dir)
	} else if own != nil {
		d.ok(checkClock, "", "it says %s, and the certificate is in its time", day(time.Now()))
	}
	d.listens(f)
	d.descriptors(*f.streams.all)
	return nil
}

// links finds what is offered, and where that was said.
func (d *diagnosis) links(cmd *cobra.Command, f doctorFlags, environ []string) []link.Link {
	links, warnings, err := link.Discover(*f.links, environ)
	d.variables(warnings)
	if len(*f.links) == 0 && len(d.running.links()) > 0 {
		links = d.running.links()
		for _, l := range links {
			d.ok(checkLink, l.Name, "offered by the provider that runs here, which found its ports by: %s", l.Source)
		}
		return links
	}
	switch {
	case err != nil:
		d.fail(checkLink, "", err.Error(), fmt.Sprintf("correct --link (it came from %s)", flagSource(cmd, "link")))
	case len(links) == 0:
		none := link.NoLinks(environ)
		d.fail(checkLink, "", none.Problem, none.Fix)
	}
	for _, l := range links {
		d.ok(checkLink, l.Name, "%s", linkSource(l, flagSource(cmd, "link"), len(*f.links) > 0))
	}
	return links
}

// linkSource says which ports a link has, and where link and ports came from.
func linkSource(l link.Link, word string, given bool) string {
	numbers := make([]uint16, len(l.Ports))
	for i, p := range l.Ports {
		numbers[i] = p.Number
	}
	found := fmt.Sprintf("port %v", numbers[0])
	if len(numbers) > 1 {
		found = fmt.Sprintf("ports %v", numbers)
	}
	switch {
	case !given:
		return found + ", from link variables in the environment"
	case l.Source == link.SourceFlag:
		return found + ", from " + word
	case l.Source == link.SourceEnvironment:
		return found + " from link variables in the environment, link from " + word
	case l.Source == link.SourceWellKnown:
		return found + " from the table of well-known names, link from " + word
	}
	return found + " from " + string(l.Source) + ", link from " + word
}

// backend is one port of a link.
type backend struct {
	about string // LINK:PORT
	to    link.Target
	trouble
}

// backends looks up and dials what the links lead to.
func (d *diagnosis) backends(ctx context.Context, links []link.Link, f doctorFlags) {
	known := d.backendNames(ctx, links)
	var all []*backend
	for _, l := range links {
		for _, p := range l.Ports {
			if known[p.Target.Host] {
				all = append(all, &backend{about: fmt.Sprintf("%s:%d", l.Name, p.Number), to: p.Target})
			}
		}
	}
	tried := all[:min(len(all), mostTried)]
	d.show.waiting("%s: connecting to %d backends", checkBackendDial, len(tried))
	self := selfOf(f.listen)
	var trying sync.WaitGroup
	for _, b := range tried {
		trying.Go(func() { b.trouble = tryBackend(ctx, b.to, self) })
	}
	trying.Wait()
	for _, b := range tried {
		d.note(checkBackendDial, b.about, b.trouble)
	}
	if more := len(all) - len(tried); more > 0 {
		d.warn(checkBackendDial, "", fmt.Sprintf("%d further backends were not tried", more), "name those that matter with --link")
	}
}

func tryBackend(ctx context.Context, to link.Target, self func(netip.AddrPort) bool) trouble {
	c, took, err := connectTo(ctx, to, self)
	if err != nil {
		problem, fix := dialTrouble(to.String(), "start the service, or correct the port in --link or the link variable", err)
		return trouble{problem: problem, fix: fix}
	}
	found := fmt.Sprintf("%s takes connections, in %s", c.RemoteAddr(), brief(took))
	c.Close()
	return trouble{found: found}
}

// backendNames looks each host up once, and says which are known.
func (d *diagnosis) backendNames(ctx context.Context, links []link.Link) (known map[string]bool) {
	known = make(map[string]bool)
	var all []*backend
	for _, l := range links {
		for _, p := range l.Ports {
			if _, seen := known[p.Target.Host]; !seen {
				known[p.Target.Host] = true
				all = append(all, &backend{about: l.Name, to: p.Target})
			}
		}
	}
	d.show.waiting("%s: looking up %d names", checkBackendName, len(all))
	var looking sync.WaitGroup
	for _, b := range all {
		looking.Go(func() { b.trouble = resolveBackend(ctx, b.to) })
	}
	looking.Wait()
	for _, b := range all {
		if b.problem != "" && b.found != "" {
			d.warn(checkBackendName, b.about, b.problem, b.fix) // there is still the address
			continue
		}
		known[b.to.Host] = d.note(checkBackendName, b.about, b.trouble)
	}
	return known
}

// resolveBackend looks a backend's name up. Docker's alias of a legacy link counts
// before the address in its variable, which goes stale: with both found and problem
// that address is all there is.
func resolveBackend(ctx context.Context, to link.Target) trouble {
	if to.Alias != "" && to.Alias != to.Host {
		if found, _, err := lookUp(ctx, to.Alias); err == nil {
			return trouble{found: fmt.Sprintf("%s is %s now, whatever the variable says", to.Alias, found[0])}
		}
		if _, err := netip.ParseAddr(to.Host); err == nil {
			return trouble{
				found:   to.Host,
				problem: fmt.Sprintf("the alias %s is not known here, and %s in the variable may be out of date", to.Alias, to.Host),
				fix:     "name the service in the variable, as tcp://NAME:PORT",
			}
		}
	}
	return resolve(ctx, to.Host, "--link or the link variable")
}

// selfOf says whether an address is where serve is to listen.
func selfOf(f listenFlags) func(netip.AddrPort) bool {
	at, err := listenAddress(*f.address)
	if err != nil || at.Port() == 0 {
		return nil
	}
	return link.OwnListeners(net.TCPAddrFromAddrPort(at))
}

// listens checks the port for clients' sessions.
func (d *diagnosis) listens(f doctorFlags) {
	if d.running != nil && !f.find.flags.Changed("listen") {
		for _, address := range d.running.status.Listen {
			d.localPort(checkListen, address, "serve", "start it anew")
		}
		return
	}
	at, err := listenAddress(*f.listen.address)
	if err != nil {
		d.fail(checkListen, *f.listen.address, err.Error(), "write --listen as [IP]:PORT, such as :7000")
		return
	}
	if at.Port() == 0 {
		d.ok(checkListen, "", "any free port")
		return
	}
	d.localPort(checkListen, at.String(), "serve", "choose another with --listen, and tell the clients")
}

// descriptors checks that as many streams can be open as are promised.
func (d *diagnosis) descriptors(streams int) {
	limit, ok := descriptorLimit()
	if d.running != nil {
		if of, known := descriptorLimitOf(d.running.status.PID); known {
			limit, ok = of, true
		}
	}
	switch {
	case !ok:
		return
	case limit < uint64(streams)+spareDescriptors:
		d.warn(checkDescriptors, "", fmt.Sprintf("an ambassador may have %d file descriptors, and --max-streams promises %d connections, of which each takes one", limit, streams),
			fmt.Sprintf(`raise the limit to %d ("ulimit -Hn", LimitNOFILE= of the unit, --ulimit nofile= of the container), or lower --max-streams`, streams+spareDescriptors))
	default:
		d.ok(checkDescriptors, "", "%d file descriptors, enough for %d connections", limit, streams)
	}
}

// spareDescriptors are for sessions, listeners and files.
const spareDescriptors = 1024
