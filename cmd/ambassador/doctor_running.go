package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"ambassador/internal/admin"
	"ambassador/internal/link"
)

// running is the ambassador that runs here on the side that is looked at, as its
// control socket shows it.
type running struct {
	status admin.Status
	events []admin.Event // the last that somebody should look at
}

// lastProblems is how many of them are shown.
const lastProblems = 3

// findRunning asks the ambassadors that run here, and returns them by their roles.
// Whoever cannot be asked is noted.
func (d *diagnosis) findRunning(ctx context.Context, f doctorFlags) map[string]*running {
	ctx, cancel := context.WithTimeout(ctx, stepWithin)
	defer cancel()
	found := make(map[string]*running)
	if isOff(f.find.flags, *f.find.socket) {
		return found
	}
	remotes, err := f.find.all(ctx)
	switch none := (*notRunningError)(nil); {
	case errors.Is(err, fs.ErrPermission):
		d.warn(checkRunning, "", err.Error(), asItsUser)
	case err != nil && !errors.As(err, &none):
		d.warn(checkRunning, "", err.Error(), "mend that, or give the ambassador's --state-dir or --control-socket")
	}
	for _, r := range remotes {
		defer r.Close()
		s, err := r.Status(ctx, statusAge, stepWithin/2)
		if err != nil {
			d.warn(checkRunning, "", fmt.Sprintf("the ambassador at %s does not answer: %v", r.Path(), err), "see its log: it may be stopped, or overloaded")
			continue
		}
		if found[s.Role] == nil {
			found[s.Role] = &running{status: s, events: problems(ctx, r)}
		}
	}
	return found
}

// problems are the last events that somebody should look at.
func problems(ctx context.Context, r *admin.Remote) []admin.Event {
	all, err := r.Events(ctx, 0, 0)
	if err != nil {
		return nil // the status came: that says enough
	}
	bad := slices.DeleteFunc(all.Events, func(e admin.Event) bool { return !e.Problem })
	return bad[max(0, len(bad)-lastProblems):]
}

// tell notes how the running ambassador sees itself.
func (d *diagnosis) tell(r *running) {
	if r == nil {
		return
	}
	s := r.status
	self := fmt.Sprintf("%s (pid %d, version %s)", s.Role, s.PID, s.Build.Version)
	if d.Side == "client" && s.Provider != d.Provider {
		d.remark(checkRunning, "", `the %s that runs here has another provider, %s: "ambassador doctor" without HOST:PORT is about that`, self, s.Provider)
		return
	}
	d.tellVerdict(self, &s)
	for _, e := range r.events {
		text := e.Text
		if e.Reason != "" && !strings.Contains(text, e.Reason) {
			text += ": " + e.Reason
		}
		d.remark(checkRunning, "", "%s ago: %s", long(time.Since(e.Time)), text)
	}
}

// seeStatus is where more is said of an ambassador that runs.
const seeStatus = `see "ambassador status", and its log`

// tellVerdict notes the verdict and the warnings. Why there is no session is said
// by both: that is one line.
func (d *diagnosis) tellVerdict(self string, s *admin.Status) {
	if s.Ready {
		d.ok(checkRunning, "", "%s says: %s", self, s.Verdict)
	}
	toldWhy := s.Ready
	for _, w := range s.Warnings {
		found, fix := w.Text, w.Fix
		if !toldWhy && isAboutSession(w.Text) {
			found, toldWhy = self+" says: "+w.Text, true
		}
		switch fix {
		case "":
			fix = seeStatus
		case adviseDoctor:
			fix = "mend what failed above, and see its log" // this is doctor
		}
		d.warn(checkRunning, "", found, fix)
	}
	if !toldWhy {
		d.warn(checkRunning, "", fmt.Sprintf("%s says: %s", self, s.Verdict), seeStatus)
	}
}

// isAboutSession says whether a warning of a client is why it has no session, as
// tunnelFacts words it.
func isAboutSession(text string) bool {
	return strings.HasPrefix(text, noSession) || strings.HasPrefix(text, noNewSession)
}

// links are those that it offers, with their backends as it was given them.
func (r *running) links() []link.Link {
	if r == nil {
		return nil
	}
	var all []link.Link
	for _, l := range r.status.Links {
		found := link.Link{Name: l.Name}
		for _, p := range l.Ports {
			if to, err := parseTarget(p.Backend); err == nil {
				found.Ports, found.Source = append(found.Ports, link.Port{Number: p.Port, Target: to}), link.Source(p.Source)
			}
		}
		if len(found.Ports) > 0 {
			all = append(all, found)
		}
	}
	return all
}

// exposes are the local ports that it has, if it is a client of that provider.
func (r *running) exposes(provider string) []link.Expose {
	if r == nil || r.status.Provider != provider {
		return nil
	}
	var all []link.Expose
	for _, l := range r.status.Links {
		for _, p := range l.Ports {
			for _, local := range p.Local {
				if at, err := netip.ParseAddrPort(local); err == nil {
					all = append(all, link.Expose{Host: at.Addr().String(), Local: at.Port(), Link: l.Name, Port: p.Port})
				}
			}
		}
	}
	return all
}

func parseTarget(address string) (link.Target, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return link.Target{}, err
	}
	n, err := strconv.ParseUint(port, 10, 16)
	return link.Target{Host: host, Port: uint16(n)}, err
}

// holds says whether it listens on an address itself.
func (r *running) holds(at netip.AddrPort) bool {
	if r == nil {
		return false
	}
	addresses := slices.Clone(r.status.Listen)
	for _, l := range r.status.Links {
		for _, p := range l.Ports {
			addresses = append(addresses, p.Local...)
		}
	}
	return slices.ContainsFunc(addresses, func(a string) bool {
		own, err := netip.ParseAddrPort(a)
		return err == nil && own.Port() == at.Port() && meets(own.Addr().Unmap(), at.Addr().Unmap())
	})
}
