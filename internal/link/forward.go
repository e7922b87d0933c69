package link

import "slices"

// Forward is one local port of the one-tier forward and where it leads.
type Forward struct {
	Local  uint16 // the port to listen on: the link's number, never 0
	Target Target
	Link   string // the link's name, for logs
}

// Forwards returns one Forward for each port of the links, sorted by Local. A
// port that several links claim with the same host and port is one Forward,
// under the shortest of their names: Compose v1 makes three aliases of one
// container. With different targets the error is a *ConflictError.
func Forwards(links []Link) ([]Forward, error) {
	var forwards []Forward
	claimed := map[uint16]Forward{}
	for _, l := range byLength(links) {
		for _, p := range l.Ports {
			first, twice := claimed[p.Number]
			if twice && !first.Target.same(p.Target) {
				return nil, &ConflictError{
					Local:   p.Number,
					Links:   [2]string{first.Link, l.Name},
					Targets: [2]Target{first.Target, p.Target},
				}
			}
			if twice {
				continue
			}
			f := Forward{Local: p.Number, Target: p.Target, Link: l.Name}
			claimed[p.Number] = f
			forwards = append(forwards, f)
		}
	}
	slices.SortFunc(forwards, func(a, b Forward) int { return int(a.Local) - int(b.Local) })
	return forwards, nil
}
