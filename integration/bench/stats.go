package main

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// series is what one system yielded for one figure, by round.
type series map[int]float64

func (s series) values() []float64 {
	var all []float64
	for _, v := range s {
		all = append(all, v)
	}
	return all
}

// over is the ratio to another series in each round that has both.
func (s series) over(other series) series {
	ratios := series{}
	for round, v := range s {
		if base, ok := other[round]; ok && base != 0 {
			ratios[round] = v / base
		}
	}
	return ratios
}

// best is the best of several systems in each round, and the names of those that
// were, the most frequent first.
func best(bySystem map[string]series, less bool) (series, []string) {
	found := series{}
	who := map[int]string{}
	for name, s := range bySystem {
		for round, v := range s {
			b, any := found[round]
			if !any || less && v < b || !less && v > b {
				found[round], who[round] = v, name
			}
		}
	}
	times := map[string]int{}
	var order []string
	for _, name := range who {
		if times[name]++; times[name] == 1 {
			order = append(order, name)
		}
	}
	slices.SortFunc(order, func(a, b string) int {
		if times[a] != times[b] {
			return times[b] - times[a]
		}
		return strings.Compare(a, b)
	})
	return found, order
}

// median is NaN of none.
func median(values []float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	s := slices.Sorted(slices.Values(values))
	if n := len(s); n%2 == 0 {
		return (s[n/2-1] + s[n/2]) / 2
	}
	return s[len(s)/2]
}

// number prints three significant digits, and every digit before the point.
func number(v float64) string {
	switch a := math.Abs(v); {
	case math.IsNaN(v):
		return ""
	case a >= 100 || a == 0:
		return fmt.Sprintf("%.0f", v)
	case a >= 10:
		return fmt.Sprintf("%.1f", v)
	case a >= 1:
		return fmt.Sprintf("%.2f", v)
	}
	return fmt.Sprintf("%.3g", v)
}

// ratio prints a median of ratios and how far they go apart.
func ratio(ratios series) string {
	v := ratios.values()
	if len(v) == 0 {
		return ""
	}
	if len(v) == 1 {
		return fmt.Sprintf("%.2f", v[0])
	}
	return fmt.Sprintf("%.2f (%.2f–%.2f)", median(v), slices.Min(v), slices.Max(v))
}
