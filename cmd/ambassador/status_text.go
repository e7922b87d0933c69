package main

import (
	"fmt"
	"io"
	"strings"

	"ambassador/internal/admin"
)

// printStatus writes a status for a person: the verdict first.
func printStatus(w io.Writer, s *admin.Status, p paint) error {
	colour := red
	if s.Ready {
		colour = green
	}
	fmt.Fprintln(w, p.with(colour, s.Verdict))
	fmt.Fprintln(w, p.dim(aboutOf(s)))
	if len(s.Peers) > 0 {
		fmt.Fprintln(w)
		if err := peerTable(s.Peers, s.Time).write(w, p); err != nil {
			return err
		}
	}
	if len(s.Links) > 0 {
		fmt.Fprintln(w)
		if err := linkTable(s.Links, s.Time).write(w, p); err != nil {
			return err
		}
	}
	if len(s.Warnings) > 0 {
		fmt.Fprintln(w)
	}
	for _, warning := range s.Warnings {
		fmt.Fprintln(w, p.with(yellow, "warning: "+warning.Text))
		if warning.Fix != "" {
			fmt.Fprintln(w, "  "+warning.Fix)
		}
	}
	return nil
}

// aboutOf is who it is, in one line.
func aboutOf(s *admin.Status) string {
	parts := []string{strings.TrimSpace(s.Role + " " + shortName(s.Identity))}
	if s.Provider != "" {
		parts = append(parts, "provider "+s.Provider)
	} else if s.Role == admin.RoleProvider && len(s.Listen) > 0 {
		parts = append(parts, "on "+strings.Join(s.Listen, " "))
	}
	if s.Role != admin.RoleForwarder {
		parts = append(parts, plural(s.Sessions, "session"))
	}
	parts = append(parts, plural(s.Streams, "connection"), "up "+ageOf(s.Time.Sub(s.Started)), s.Build.Version)
	return strings.Join(parts, ", ")
}
