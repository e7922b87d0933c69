package admin

import (
	"sync"
	"time"

	"ambassador/internal/live"
)

// refusals remember how many handshakes had been refused when somebody looked, so
// that a rise shows.
type refusals struct {
	mu      sync.Mutex
	samples []sample // oldest first
}

type sample struct {
	at    time.Time
	total uint64
}

// sampleEvery keeps the samples few however often one looks.
const sampleEvery = 10 * time.Second

// rise is how many have come since the oldest look of the last minutes. Clients that
// are known and denied are not among them: ofRefused tells of each by name.
func (r *refusals) rise(now time.Time, refused map[string]uint64) uint64 {
	total := uint64(0)
	for why, n := range refused {
		if why != live.RefusedDenied {
			total += n
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for len(r.samples) > 0 && now.Sub(r.samples[0].at) > lately {
		r.samples = r.samples[1:]
	}
	if n := len(r.samples); n == 0 || now.Sub(r.samples[n-1].at) >= sampleEvery {
		r.samples = append(r.samples, sample{now, total})
	}
	if total < r.samples[0].total {
		return 0
	}
	return total - r.samples[0].total
}
