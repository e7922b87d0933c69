package main

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"ambassador/certs"
	"ambassador/client"
	"ambassador/internal/link"
	"ambassador/internal/live"

	"github.com/spf13/cobra"
)

// client looks from the client's side. Its error is wrong usage.
func (d *diagnosis) client(ctx context.Context, cmd *cobra.Command, env environment, f doctorFlags) error {
	host, err := checkProvider(d.Provider)
	if err != nil {
		return err
	}
	exposeHost, err := checkExposeHost(*f.exposeHost)
	if err != nil {
		return err
	}
	exposes, good := d.exposes(cmd, f, env.environ)
	own, err := d.ownCertificate(f, certs.RoleClient, env.environ)
	if err != nil {
		return err
	}
	var granted []client.Planned
	if visit := d.visit(ctx, host, own); visit != nil {
		defer visit.Close()
		if good {
			granted = d.grant(exposes, visit, exposeHost, own)
			d.roundTrips(ctx, visit, granted)
		}
	}
	if good {
		d.localPorts(exposes, granted, exposeHost)
	}
	return nil
}

// exposes finds what is exposed, and where that was said. Without any, all that is
// granted will be.
func (d *diagnosis) exposes(cmd *cobra.Command, f doctorFlags, environ []string) (exposes []link.Expose, good bool) {
	good = true
	for _, w := range *f.expose {
		e, err := link.ParseExpose(w)
		if err != nil {
			d.fail(checkExpose, w, err.Error(), "write it in one of the forms of \"ambassador connect --help\"")
			good = false
			continue
		}
		d.ok(checkExpose, w, "from %s", flagSource(cmd, "expose"))
		exposes = append(exposes, e)
	}
	if len(*f.expose) > 0 {
		return exposes, good
	}
	links, warnings := link.FromEnv(environ)
	d.variables(warnings)
	if exposes = d.running.exposes(d.Provider); len(exposes) > 0 {
		for _, e := range exposes {
			d.ok(checkExpose, e.String(), "from the client that runs here")
		}
		return exposes, true
	}
	forwards, err := link.Forwards(links)
	if err != nil {
		d.fail(checkExpose, "", err.Error(), "give --expose for the ports that this client is to open")
		return nil, false
	}
	for _, fw := range forwards {
		d.ok(checkExpose, strconv.Itoa(int(fw.Local)), "from the link variables of %s in the environment", fw.Link)
		exposes = append(exposes, link.Expose{Port: fw.Local})
	}
	if len(exposes) == 0 {
		d.ok(checkExpose, "", "no --expose and no link variable: all that the provider grants")
	}
	return exposes, true
}

// variables notes the link variables that are of no use.
func (d *diagnosis) variables(warnings []error) {
	for _, w := range warnings {
		d.warn(checkVariable, "", w.Error(), "correct the variable, or remove it: it is set for this process, by -e, an env file or the unit")
	}
}

// visit goes to the provider: nil if it does not let this client in.
func (d *diagnosis) visit(ctx context.Context, host string, own *certs.Credentials) *client.Visit {
	_, port, _ := net.SplitHostPort(d.Provider) // was checked
	number, _ := strconv.ParseUint(port, 10, 16)
	d.show.waiting("%s: looking up %s", checkProviderName, host)
	if !d.note(checkProviderName, "", resolve(ctx, host, d.Provider)) {
		return nil
	}
	conn := d.connects(ctx, checkProviderDial, "", link.Target{Host: host, Port: uint16(number)}, nil,
		`start "ambassador serve" there, or correct the port: its log and "ambassador doctor" there say on which port it listens`)
	if conn == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, 2*stepWithin)
	defer cancel()
	if own == nil {
		d.knock(ctx, conn)
		return nil
	}
	return d.call(ctx, conn, host, own)
}

// grant compares what the provider grants with what is exposed, and returns what
// works so far.
func (d *diagnosis) grant(exposes []link.Expose, v *client.Visit, exposeHost string, own *certs.Credentials) []client.Planned {
	all := client.Plan(nil, v.Links, exposeHost)
	if len(all) == 0 {
		d.fail(checkGranted, "", "the provider grants this client no link", d.grantFix(own, "LINK"))
		return nil
	}
	d.ok(checkGranted, "", "%s", listPorts(all))
	var working []client.Planned
	for _, p := range client.Plan(exposes, v.Links, exposeHost) {
		switch {
		case p.Err == nil:
			working = append(working, p)
		case p.Err.Ambiguous:
			d.fail(checkExpose, p.Expose.String(), p.Err.Problem, "write one of "+strings.Join(p.Err.Candidates, ", "))
		case p.Link != "" && len(exposes) > 0:
			d.fail(checkExpose, p.Expose.String(), p.Err.Problem, "give one of the two another local port, with LOCAL=REMOTE")
		case p.Link != "":
			d.warn(checkExpose, p.Expose.String(), p.Err.Problem, "give it another local port, with --expose LOCAL="+p.String())
		default:
			d.fail(checkGranted, p.Expose.String(), p.Err.Problem+", and grants "+strings.Join(p.Err.Candidates, ", "),
				"expose what is granted; or "+d.grantFix(own, wantedLink(p.Expose)))
		}
	}
	return working
}

// grantFix is how this client gets a link.
func (d *diagnosis) grantFix(own *certs.Credentials, name string) string {
	identity, _ := own.Identity() // was checked when it was loaded
	if !own.Private() {
		return fmt.Sprintf("on the provider's host, add --allow '%s=%s' to \"ambassador serve\", and --link if it does not offer it", identity, name)
	}
	id, _ := certs.ParseIdentity(identity)
	return fmt.Sprintf(`on the provider's host, run "ambassador grant %s %s", and add --link to "ambassador serve" if it does not offer it`, id.Name, name)
}

// wantedLink is the link that an exposure names, else a word for it.
func wantedLink(e link.Expose) string {
	if e.Link != "" {
		return e.Link
	}
	return "LINK"
}

// mostListed bounds the ports that one line names, and mostTried those that are
// tried.
const (
	mostListed = 12
	mostTried  = 64
)

func listPorts(all []client.Planned) string {
	var words []string
	for _, p := range all[:min(len(all), mostListed)] {
		words = append(words, p.String())
	}
	line := strings.Join(words, ", ")
	if more := len(all) - mostListed; more > 0 {
		line += fmt.Sprintf(" and %d more", more)
	}
	return line
}

// tryHold is how long the provider may try to reach a backend. Its own attempts go
// on until then, so that what it says last is what holds.
const tryHold = 2 * time.Second

// roundTrips measures the way to the provider, and tries the backend of each port.
func (d *diagnosis) roundTrips(ctx context.Context, v *client.Visit, ports []client.Planned) {
	step, cancel := context.WithTimeout(ctx, stepWithin)
	defer cancel()
	took, err := v.RoundTrip(step)
	if err != nil {
		d.fail(checkRoundTrip, "", "the session with the provider broke: "+err.Error(), "see the provider's log for why")
		return
	}
	d.ok(checkRoundTrip, "", "to the provider and back in %s", brief(took))
	ports = distinct(ports)
	tried := ports[:min(len(ports), mostTried)]
	// A far provider's answer needs its way too, and without time for it silence
	// would say nothing.
	wait := tryHold + time.Second + 2*took
	if end, _ := ctx.Deadline(); time.Until(end) < wait {
		d.warn(checkRoundTrip, "", "no time is left to try the backends", "mend what was slow above, and run doctor again")
		return
	}
	d.show.waiting("%s: trying %d backends through the tunnel", checkRoundTrip, len(tried))
	reached, errs := make([]client.Reached, len(tried)), make([]error, len(tried))
	var trying sync.WaitGroup
	for i, p := range tried {
		trying.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, wait)
			defer cancel()
			reached[i], errs[i] = v.Reach(ctx, p.Link, p.Port, tryHold)
		})
	}
	trying.Wait()
	for i, p := range tried {
		d.reached(p.String(), reached[i], errs[i])
	}
	if more := len(ports) - len(tried); more > 0 {
		d.warn(checkRoundTrip, "", fmt.Sprintf("%d further ports were not tried", more), "name those that matter with --expose")
	}
}

// distinct are the link's ports, each once: several local ports may lead to one.
func distinct(ports []client.Planned) []client.Planned {
	var once []client.Planned
	for _, p := range ports {
		if !slices.ContainsFunc(once, func(o client.Planned) bool { return o.String() == p.String() }) {
			once = append(once, p)
		}
	}
	return once
}

func (d *diagnosis) reached(port string, r client.Reached, err error) {
	there := `on the provider's host, "ambassador doctor" says which address that is; `
	switch {
	case err != nil:
		d.fail(checkRoundTrip, port, "the session with the provider broke: "+err.Error(), "see the provider's log for why")
	case r.Silent:
		d.ok(checkRoundTrip, port, "the backend took a connection, and waits to be spoken to")
	case r.Why == live.Running:
		d.ok(checkRoundTrip, port, "the backend answered in %s", brief(r.Took))
	case r.Why == live.BackendReset:
		d.warn(checkRoundTrip, port, "the backend took a connection and reset it", "see the service's log: it may let in some addresses alone, or only TLS")
	case r.Why == live.BackendRefused:
		d.fail(checkRoundTrip, port, "nothing listens on the backend's port", there+"start the service, or correct the port in --link")
	case r.Why == live.BackendTimeout:
		d.fail(checkRoundTrip, port, fmt.Sprintf("the backend did not answer the provider within %v", tryHold), there+"check that the service's host is up, and the firewall between the two")
	case r.Why == live.BackendUnreachable:
		d.fail(checkRoundTrip, port, "the provider has no way to the backend's address", there+"check the address in --link and the routes")
	case r.Why == live.BackendUnknown:
		d.fail(checkRoundTrip, port, "the provider cannot look up the backend's name", there+"correct the name in --link, or make it known there")
	case r.Why == live.NotGranted:
		d.fail(checkRoundTrip, port, "the link was withdrawn from this client a moment ago", "see the provider's log")
	case r.Why == live.Draining:
		d.fail(checkRoundTrip, port, "the provider is shutting down", "start it again")
	case r.Why == live.StreamLimit:
		d.fail(checkRoundTrip, port, "the provider takes no more connections: "+r.Reason, "close some, or raise --max-streams or --max-client-streams of \"ambassador serve\"")
	default:
		d.fail(checkRoundTrip, port, "the provider could not reach the backend: "+r.Reason, there+"see the provider's log for the cause")
	}
}
