package main

import (
	"context"
	"slices"
	"time"
)

// work is something to measure.
type work struct {
	name    string
	what    string   // in a line
	figures []figure // what comes out; the first is what it is about
	unit    unit
	backend string // the kind
	needs   []string
	// check says why it cannot be done here. It may be nil.
	check   func() error
	wide    bool     // over the long carrier
	ours    bool     // for ambassadors alone
	proxied bool     // about the proxies themselves: not for direct
	env     []string // for our provider
	load    func(ctx context.Context, t *tunnel, e effort) (result, error)
}

// figure is one number that a work yields.
type figure struct {
	name string
	less bool // less is better
	// compared says that its ratio to the best peer's is of interest.
	compared bool
}

// unit is what the proxies' CPU time is divided by.
type unit struct {
	name  string
	cpu   string        // of the quotient
	scale time.Duration // that is 1 of it
}

var (
	perRequest     = unit{"request", "µs", time.Microsecond}
	perConnection  = unit{"connection", "µs", time.Microsecond}
	perTransaction = unit{"transaction", "µs", time.Microsecond}
	perClient      = unit{"client", "µs", time.Microsecond}
	perGigabyte    = unit{"GB", "s", time.Second}
)

// result is what a load found.
type result struct {
	values []float64 // of the work's figures; NaN for one that was not to be had
	amount float64   // of the work's unit, for all the time that the load ran
}

// works are all that there are, in the order of the tables.
func works() []work {
	return slices.Concat(redisWorks(), bulkWorks(), []work{shaped()}, wideWorks(), []work{pgbenchWork(), wrkWork(), idle(), clients()})
}

// runsHere says why a work cannot be done on this machine.
func (w work) runsHere() error {
	for _, program := range w.needs {
		if lookup(program) == "" {
			return &missingError{program}
		}
	}
	if w.check != nil {
		return w.check()
	}
	return nil
}

// missingError is a program that is not here.
type missingError struct{ program string }

func (e *missingError) Error() string { return e.program + " is not installed" }

// suits says whether a work is for a system.
func (w work) suits(s system) bool {
	return s.kind == ours || !w.ours && (s.kind != direct || !w.proxied)
}
