//go:build race

package live

// raceEnabled: times are several times as long.
const raceEnabled = true
