package main

import (
	"fmt"
	"strings"
	"time"
)

// What people read: bytes, ages, and peers.

// bytesOf is a number of bytes with three digits: 12.3 MiB.
func bytesOf(n int64) string {
	if n < 1024 {
		return fmt.Sprintf("%d B", n)
	}
	v := float64(n)
	unit := ""
	for _, unit = range []string{"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"} {
		if v /= 1024; v < 999.5 {
			break
		}
	}
	switch {
	case v < 9.995:
		return fmt.Sprintf("%.2f %s", v, unit)
	case v < 99.95:
		return fmt.Sprintf("%.1f %s", v, unit)
	}
	return fmt.Sprintf("%.0f %s", v, unit)
}

// ageOf is a duration in its two greatest units: 3m12s, 2d4h.
func ageOf(d time.Duration) string {
	s := int64(max(d, 0) / time.Second)
	switch {
	case s < 60:
		return fmt.Sprintf("%ds", s)
	case s < 3600:
		return fmt.Sprintf("%dm%02ds", s/60, s%60)
	case s < 86400:
		return fmt.Sprintf("%dh%02dm", s/3600, s/60%60)
	}
	return fmt.Sprintf("%dd%dh", s/86400, s/3600%24)
}

// millis is a short time as a network's is told.
func millis(seconds float64) string {
	switch {
	case seconds <= 0:
		return ""
	case seconds < 0.01:
		return fmt.Sprintf("%.2f ms", seconds*1000)
	case seconds < 10:
		return fmt.Sprintf("%.0f ms", seconds*1000)
	}
	return fmt.Sprintf("%.0f s", seconds)
}

// shortName is the name at the end of an ambassador's identity. Others are shown
// as they are; JSON has all of them in full.
func shortName(identity string) string {
	if rest, is := strings.CutPrefix(identity, "spiffe://"); is {
		if parts := strings.Split(rest, "/"); len(parts) == 3 && parts[2] != "" {
			return parts[2]
		}
	}
	return identity
}

func plural(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}
