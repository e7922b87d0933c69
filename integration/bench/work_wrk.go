package main

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"time"
)

// wrkWork is HTTP requests.
func wrkWork() work {
	return work{
		name: "wrk", what: "wrk: HTTP GET of 1 KiB, 50 connections",
		figures: requestFigures("requests"), unit: perRequest, backend: backendHTTP, needs: []string{"wrk"},
		load: func(ctx context.Context, t *tunnel, e effort) (result, error) {
			out, err := output(ctx, "wrk", "-t", "2", "-c", "50", "-d", fmt.Sprintf("%ds", e.seconds(toolTime)), "--latency", "http://"+loopback(t.entry)+"/")
			if err != nil {
				return result{}, err
			}
			return parseWrk(out)
		},
	}
}

var (
	wrkRate   = regexp.MustCompile(`(?m)^Requests/sec:\s+([\d.]+)`)
	wrkDone   = regexp.MustCompile(`(?m)^\s*(\d+) requests in `)
	wrkMedian = regexp.MustCompile(`(?m)^\s+50%\s+([\d.]+[a-z]+)`)
	wrkTail   = regexp.MustCompile(`(?m)^\s+99%\s+([\d.]+[a-z]+)`)
)

// parseWrk reads wrk's report. Requests that failed spoil it.
func parseWrk(out string) (result, error) {
	if strings.Contains(out, "Socket errors:") || strings.Contains(out, "Non-2xx") {
		return result{}, fmt.Errorf("wrk: requests failed: %s", out)
	}
	v, err := find(out, wrkRate, wrkDone)
	if err != nil {
		return result{}, fmt.Errorf("wrk: %w", err)
	}
	r := result{values: v[:1], amount: v[1]}
	for _, p := range []*regexp.Regexp{wrkMedian, wrkTail} {
		m := p.FindStringSubmatch(out)
		if m == nil {
			return result{}, fmt.Errorf("wrk: prints %.500q, expected %s", out, p)
		}
		d, err := time.ParseDuration(m[1])
		if err != nil {
			return result{}, err
		}
		r.values = append(r.values, d.Seconds()*1e3)
	}
	return r, nil
}
