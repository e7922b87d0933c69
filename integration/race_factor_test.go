package integration

import "time"

// idleFactor widens what takes processor time or is measured in it: the race detector takes
// several times as much for everything (go.dev/doc/articles/race_detector).
var idleFactor = func() time.Duration {
	if raceEnabled {
		return 3
	}
	return 1
}()
