package main

import (
	"math"
	"slices"
	"testing"
)

func TestBestPeerIsFoundRoundByRound(t *testing.T) {
	peers := map[string]series{
		"a": {1: 10, 2: 30, 3: 30},
		"b": {1: 20, 2: 20, 3: 20},
		"c": {2: 25}, // failed in the others
	}
	more, who := best(peers, false)
	if want := (series{1: 20, 2: 30, 3: 30}); !equal(more, want) || !slices.Equal(who, []string{"a", "b"}) {
		t.Errorf("best of more is %v by %v, expected %v by a, then b", more, who, want)
	}
	less, who := best(peers, true)
	if want := (series{1: 10, 2: 20, 3: 20}); !equal(less, want) || !slices.Equal(who, []string{"b", "a"}) {
		t.Errorf("best of less is %v by %v, expected %v by b, then a", less, who, want)
	}
}

// The median of ratios, not the ratio of medians: a machine that was slow in one
// round was so for both.
func TestRatiosAreTakenWithinARound(t *testing.T) {
	own, peer := series{1: 50, 2: 200, 3: 90, 4: 7}, series{1: 100, 2: 100, 3: 90}
	ratios := own.over(peer)
	if want := (series{1: 0.5, 2: 2, 3: 1}); !equal(ratios, want) {
		t.Fatalf("ratios are %v, expected %v: nothing of a round that only one has", ratios, want)
	}
	if got, want := ratio(ratios), "1.00 (0.50–2.00)"; got != want {
		t.Errorf("printed as %q, expected %q", got, want)
	}
	if got := ratio(series{}); got != "" {
		t.Errorf("no ratio is printed as %q", got)
	}
}

func equal(a, b series) bool {
	if len(a) != len(b) {
		return false
	}
	for k, v := range a {
		if b[k] != v {
			return false
		}
	}
	return true
}

func TestMedianAndPercentile(t *testing.T) {
	if got := median([]float64{9, 1, 5}); got != 5 {
		t.Errorf("median of three is %v, expected 5", got)
	}
	if got := median([]float64{4, 1, 2, 9}); got != 3 {
		t.Errorf("median of four is %v, expected 3", got)
	}
	if got := median(nil); !math.IsNaN(got) || number(got) != "" {
		t.Errorf("median of none is %v, printed as %q: expected nothing", got, number(got))
	}
	var values []float64
	for i := range 1000 {
		values = append(values, float64(999-i))
	}
	if p50, p99 := percentile(values, 50), percentile(values, 99); p50 != 500 || p99 != 990 {
		t.Errorf("percentiles of 0 to 999 are %v and %v, expected 500 and 990", p50, p99)
	}
}

func TestNumbersHaveThreeDigits(t *testing.T) {
	for v, want := range map[float64]string{123456.7: "123457", 99.44: "99.4", 1.234: "1.23", 0.01234: "0.0123", 0: "0"} {
		if got := number(v); got != want {
			t.Errorf("%v is printed as %q, expected %q", v, got, want)
		}
	}
}
