package link

import (
	"fmt"
	"slices"
	"strings"
)

// Discover turns the words of --link and an environ slice into the provider's
// links, sorted by name. Ports that a word does not give come from the first
// rung of this ladder that has some; the link's Source tells which one it was:
//
//  1. The word itself. Its host is dialled, and the environment is not asked.
//  2. Link variables by the link's name (MY_REDIS_* for my-redis), then by the
//     host's, for HOST:ALIAS. Ports and targets are theirs.
//  3. EXPOSE of the container, where a Docker socket is given (SourceDocker).
//     This rung needs more than words and variables, so its place is here but
//     nothing stands on it yet.
//  4. The table of [WellKnownPorts], by the link's name, then by the host's.
//     The host is dialled.
//
// Without words all links of the environment are taken, if there are any: see
// [NoLinks] for the error otherwise. The aliases that Compose v1 writes for one
// container (redis, redis_1, proj_redis_1) are then one link under the
// shortest of them, so that its port is not offered three times. Links that a
// person wrote by -e, without ALIAS_NAME, all stay.
//
// Warnings are *VariableError values, of the variables that were asked for.
// The error matches [ErrUsage] and one of [ErrSyntax], [ErrConflict] (one name
// from two words) and [ErrNoPorts].
func Discover(words, environ []string) (links []Link, warnings []error, err error) {
	env := readEnv(environ)
	if len(words) == 0 {
		links, warnings = env.all()
		return mergeAliases(links), warnings, nil
	}
	given := map[string]string{} // the word that gave a name
	for _, word := range words {
		spec, err := ParseSpec(word)
		if err != nil {
			return nil, warnings, err
		}
		if first, twice := given[spec.Name]; twice {
			return nil, warnings, &usageError{ErrConflict, fmt.Sprintf(
				"--link %q and --link %q are both called %s: remove one, join their ports (NAME=HOST:PORT,PORT), or write NAME= before one of them", first, word, spec.Name)}
		}
		given[spec.Name] = word
		l, warned, err := env.climb(spec, word)
		warnings = append(warnings, warned...)
		if err != nil {
			return nil, warnings, err
		}
		links = append(links, l)
	}
	sortLinks(links)
	return links, warnings, nil
}

// climb is the ladder of Discover for one word.
func (e environment) climb(spec Spec, word string) (Link, []error, error) {
	if len(spec.Ports) > 0 {
		return spec.link(spec.Ports, SourceFlag), nil, nil
	}
	names := slices.Compact([]string{spec.Name, spec.Host})
	var warnings []error
	for _, name := range names {
		g := e[EnvPrefix(name)]
		if g == nil {
			continue
		}
		warnings = append(warnings, g.warnings...)
		if len(g.link.Ports) > 0 {
			return Link{Name: spec.Name, Ports: slices.Clone(g.link.Ports), Source: g.link.Source}, warnings, nil
		}
	}
	for _, name := range names {
		if ports := WellKnownPorts(name); ports != nil {
			return spec.link(ports, SourceWellKnown), warnings, nil
		}
	}
	return Link{}, warnings, e.noPorts(spec, word, names)
}

// noPorts says where was looked, and what to write.
func (e environment) noPorts(spec Spec, word string, names []string) error {
	var looked []string
	var linked string
	for _, name := range names {
		looked = append(looked, EnvPrefix(name)+"_PORT_<port>_TCP")
		if g := e[EnvPrefix(name)]; g != nil && g.linked != "" {
			linked = fmt.Sprintf(" (%s is there, but the container that it names exposes no port)", g.linked)
		}
	}
	if linked == "" && !e.hasLinks() {
		linked = " (there is no link variable at all; " + noLongerSet + ")"
	}
	write := spec.String() + ":PORT"
	if spec.Name == spec.Host {
		write = spec.Name + ":PORT"
	}
	return &usageError{ErrNoPorts, fmt.Sprintf(
		"--link %q: no port known: looked for %s in the environment%s, and for %s among the well-known names %s: write --link %s",
		word, strings.Join(looked, " and "), linked, strings.Join(names, " and "), strings.Join(WellKnownNames(), ", "), write)}
}

func (e environment) hasLinks() bool {
	links, _ := e.all()
	return len(links) > 0
}

// mergeAliases leaves one link of those that Docker wrote with equal ports and
// targets: the one with the shortest name.
func mergeAliases(links []Link) []Link {
	var kept []Link
	for _, l := range byLength(links) {
		if !slices.ContainsFunc(kept, func(k Link) bool { return k.aliasOf(l) }) {
			kept = append(kept, l)
		}
	}
	sortLinks(kept)
	return kept
}

// byLength returns links by the length of their names, then by name: of
// several aliases the shortest is the one that a person chose.
func byLength(links []Link) []Link {
	sorted := slices.Clone(links)
	slices.SortFunc(sorted, func(a, b Link) int {
		if d := len(a.Name) - len(b.Name); d != 0 {
			return d
		}
		return strings.Compare(a.Name, b.Name)
	})
	return sorted
}

// aliasOf says whether two links are one container's, by Docker's account.
func (l Link) aliasOf(other Link) bool {
	return slices.EqualFunc(l.Ports, other.Ports, func(a, b Port) bool {
		return a.Number == b.Number && a.Target.same(b.Target) && a.Target.Alias != "" && b.Target.Alias != ""
	})
}
