package main

import (
	"strings"
	"testing"
)

func TestPassedCount(t *testing.T) {
	for name, c := range map[string]struct {
		environ string
		want    int
		bad     bool
	}{
		"nothing":                 {"", 0, false},
		"one":                     {"LISTEN_PID=7 LISTEN_FDS=1", 1, false},
		"several":                 {"LISTEN_PID=7 LISTEN_FDS=3", 3, false},
		"for another process":     {"LISTEN_PID=8 LISTEN_FDS=1", 0, false},
		"for whom is not said":    {"LISTEN_FDS=1", 0, false},
		"how many is not said":    {"LISTEN_PID=7", 0, false},
		"no number":               {"LISTEN_PID=7 LISTEN_FDS=x", 0, true},
		"below zero":              {"LISTEN_PID=7 LISTEN_FDS=-1", 0, true},
		"more than anybody wants": {"LISTEN_PID=7 LISTEN_FDS=1000000", 0, true},
	} {
		t.Run(name, func(t *testing.T) {
			n, err := passedCount(strings.Fields(c.environ), 7)
			if n != c.want || (err != nil) != c.bad {
				t.Fatalf("%d, %v; want %d", n, err, c.want)
			}
			if c.bad && (exitCode(err) != exitUsage || !strings.Contains(err.Error(), "LISTEN_FDS")) {
				t.Errorf("%v: want exit code 2 and the variable's name", err)
			}
		})
	}
}

func TestPassedDescriptorThatDoesNotListen(t *testing.T) {
	// A descriptor that is not open: nothing of this process may be closed.
	_, err := passedListeners([]string{"LISTEN_PID=7", "LISTEN_FDS=1"}, 7, 1<<20)
	if exitCode(err) != exitUsage || !strings.Contains(err.Error(), "LISTEN_FDS=1") {
		t.Fatalf("%v: want exit code 2 and the variable's name", err)
	}
}
