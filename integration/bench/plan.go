package main

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
)

// plan is what is to be measured, and what is left out.
type plan struct {
	systems []system
	works   []work
	// leftOut are lines for a person: what is not measured, and why.
	leftOut []string
}

// choose picks what the options name, else all that can be done here. What is
// named and cannot be done is an error.
func choose(o options) (plan, error) {
	var p plan
	all := systems(o)
	for _, name := range o.systemNames {
		if !slices.ContainsFunc(all, func(s system) bool { return s.name == name }) {
			return p, usagef("-systems: there is no %q: expected some of %s", name, strings.Join(names(all), ","))
		}
	}
	for _, s := range all {
		if len(o.systemNames) > 0 && !slices.Contains(o.systemNames, s.name) {
			continue
		}
		missing := s.missing()
		switch {
		case missing == "":
			p.systems = append(p.systems, s)
		case s.kind == ours:
			return p, usagef("-%s: there is no program %s", s.name, missing)
		case len(o.systemNames) > 0:
			return p, usagef("-systems: %s needs %s, which is not installed: %s", s.name, missing, s.from)
		default:
			p.leftOut = append(p.leftOut, fmt.Sprintf("%s: %s is not installed (%s)", s.name, missing, s.from))
		}
	}
	return p, p.chooseWorks(o)
}

func (p *plan) chooseWorks(o options) error {
	all := works()
	for _, name := range o.workNames {
		if !slices.ContainsFunc(all, func(w work) bool { return w.name == name }) {
			return usagef("-work: there is no %q: expected some of %s", name, strings.Join(workNames(all), ","))
		}
	}
	for _, w := range all {
		if len(o.workNames) > 0 && !slices.Contains(o.workNames, w.name) {
			continue
		}
		err := w.runsHere()
		if err == nil && !slices.ContainsFunc(p.systems, w.suits) {
			err = errors.New("is for an ambassador, or for proxies: choose one with -systems")
		}
		switch {
		case err == nil:
			p.works = append(p.works, w)
		case len(o.workNames) > 0:
			return usagef("-work: %s: %v", w.name, err)
		default:
			p.leftOut = append(p.leftOut, fmt.Sprintf("%s: %v", w.name, err))
		}
	}
	return nil
}

func names(all []system) []string {
	var n []string
	for _, s := range all {
		n = append(n, s.name)
	}
	return n
}

func workNames(all []work) []string {
	var n []string
	for _, w := range all {
		n = append(n, w.name)
	}
	return n
}

// list prints what would be measured.
func (p plan) list(w io.Writer) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "SYSTEM\tCOMPARED AS")
	for _, s := range p.systems {
		fmt.Fprintf(table, "%s\t%s\n", s.name, s.kind)
	}
	fmt.Fprintln(table, "\nWORK\tWHAT")
	for _, w := range p.works {
		fmt.Fprintf(table, "%s\t%s\n", w.name, w.what)
	}
	if len(p.leftOut) > 0 {
		fmt.Fprintln(table, "\nLEFT OUT\tWHY")
	}
	for _, l := range p.leftOut {
		name, why, _ := strings.Cut(l, ": ")
		fmt.Fprintf(table, "%s\t%s\n", name, why)
	}
	return table.Flush()
}
