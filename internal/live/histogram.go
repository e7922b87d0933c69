package live

import (
	"slices"
	"time"
)

// Bounds are the upper bounds of a histogram's buckets in seconds, the last one
// without a bound: from a dial on the same host to one that is repeated until a
// hold budget is spent, and from there to a session of a month.
var Bounds = []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 60, 600, 3600, 86400, 30 * 86400}

// Histogram counts durations. The zero value is ready to use.
type Histogram struct {
	Counts []uint64 // by bucket, not cumulated; one more than Bounds, nil while empty
	Count  uint64
	Sum    float64 // seconds
}

func (h *Histogram) observe(d time.Duration) {
	if h.Counts == nil {
		h.Counts = make([]uint64, len(Bounds)+1)
	}
	s := d.Seconds()
	i, _ := slices.BinarySearch(Bounds, s)
	h.Counts[i]++
	h.Count++
	h.Sum += s
}

func (h Histogram) clone() Histogram {
	h.Counts = slices.Clone(h.Counts)
	return h
}

// Add is the sum of both. It shares nothing with either.
func (h Histogram) Add(other Histogram) Histogram {
	sum := h.clone()
	if sum.Counts == nil && other.Counts != nil {
		sum.Counts = make([]uint64, len(Bounds)+1)
	}
	for i, n := range other.Counts {
		sum.Counts[i] += n
	}
	sum.Count += other.Count
	sum.Sum += other.Sum
	return sum
}
