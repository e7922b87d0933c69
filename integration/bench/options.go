package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"time"
)

// options are the flags.
type options struct {
	ambassador  string
	base        string
	systemNames []string // none stands for all
	workNames   []string
	rounds      int
	scale       effort
	json        string
	list        bool
}

// usageError is a flag that cannot be followed.
type usageError struct{ text string }

func (e *usageError) Error() string { return e.text }

func usagef(format string, args ...any) error { return &usageError{fmt.Sprintf(format, args...)} }

// flags are the flags that fill in o.
func flags(o *options) *flag.FlagSet {
	list := func(into *[]string) func(string) error {
		return func(words string) error {
			*into = strings.FieldsFunc(words, func(r rune) bool { return r == ',' || r == ' ' })
			return nil
		}
	}
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.StringVar(&o.ambassador, "ambassador", "", "`PATH` of the ambassador to measure; if empty, ./cmd/ambassador is built")
	f.StringVar(&o.base, "base", "", "`PATH` of a second one, to compare with in the same run")
	f.Func("systems", "`NAMES` of systems with commas between; if empty, all that are installed", list(&o.systemNames))
	f.Func("work", "`NAMES` of works with commas between; if empty, all that can be done here", list(&o.workNames))
	f.IntVar(&o.rounds, "rounds", 5, "`NUMBER` of rounds")
	f.Float64Var((*float64)(&o.scale), "scale", 1, "`FACTOR` of each work's requests and seconds: 0.1 for a first look")
	f.StringVar(&o.json, "json", "", "`FILE` to write the figures of every round to")
	f.BoolVar(&o.list, "list", false, "list systems and works, and measure nothing")
	return f
}

func parseOptions(args []string, stderr io.Writer) (options, error) {
	var o options
	f := flags(&o)
	f.SetOutput(io.Discard) // it would print all of its help for a wrong word
	if err := f.Parse(args); errors.Is(err, flag.ErrHelp) {
		f.SetOutput(stderr)
		f.Usage()
		return o, err
	} else if err != nil {
		return o, usagef("%v: see -help", err)
	}
	switch {
	case f.NArg() > 0:
		return o, usagef("unexpected %q: there are flags only, see -help", f.Arg(0))
	case o.rounds < 1:
		return o, usagef("-rounds %d: expected 1 or more", o.rounds)
	case !(o.scale > 0 && o.scale <= 100):
		return o, usagef("-scale %v: expected a factor above 0, and 100 at most", float64(o.scale))
	}
	return o, errors.Join(absolute(&o.ambassador), absolute(&o.base))
}

// absolute makes a path good in every folder.
func absolute(path *string) (err error) {
	if *path != "" {
		*path, err = filepath.Abs(*path)
	}
	return err
}

// effort is the part of a work's full size that is done.
type effort float64

// count is the part of n, and least at least.
func (e effort) count(n, least int) int { return max(int(float64(n)*float64(e)), least) }

// time is the part of d.
func (e effort) time(d time.Duration) time.Duration { return time.Duration(float64(d) * float64(e)) }

// seconds is the part of d for load tools that take whole seconds.
func (e effort) seconds(d time.Duration) int {
	return max(int(e.time(d).Round(time.Second)/time.Second), 1)
}
