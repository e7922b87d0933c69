package live

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

// lines are those that were logged since the last call, each in one word after the
// other.
func lines(logs *observer.ObservedLogs) (all []string) {
	for _, e := range logs.TakeAll() {
		f := e.ContextMap()
		line := fmt.Sprintf("%v %v %v:%v", e.Level, e.Message, f["link"], f["port"])
		if why, has := f["reason"]; has {
			line += fmt.Sprint(" ", why)
		}
		all = append(all, line)
	}
	return all
}

func TestChangeOfABackendIsLoggedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		core, logs := observer.New(zap.DebugLevel)
		var table Table
		table.LogBackends(zap.New(core))
		shows := func(want []string, dials ...Reason) {
			t.Helper()
			for _, why := range dials {
				time.Sleep(time.Second) // of the test's own clock
				table.Dialled("redis", 1, why, time.Now(), 0)
			}
			if got := lines(logs); !slices.Equal(got, want) {
				t.Errorf("after %v:\n%q, want\n%q", dials, got, want)
			}
		}
		const (
			refuses = "warn backend does not answer redis:1 backend-refused"
			silent  = "warn backend does not answer redis:1 backend-timeout"
			answers = "info backend answers again redis:1"
		)
		shows(nil, Running, Running)
		shows([]string{refuses}, BackendRefused, BackendRefused, BackendRefused)
		shows([]string{silent}, BackendTimeout)
		shows([]string{answers}, Running, Running)
		// It flaps: nothing more for a minute, and then what holds, if nothing changes too.
		for range 10 {
			shows(nil, BackendRefused, Running)
		}
		shows(nil, BackendRefused)
		time.Sleep(repeatAfter)
		shows([]string{refuses}, BackendRefused)
		shows([]string{answers}, Running)
		// What there was once is not what there is.
		time.Sleep(repeatAfter)
		table.Forget("redis", 1)
		shows(nil, Running)
		shows([]string{refuses}, BackendRefused)
	})
}
