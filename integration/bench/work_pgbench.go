package main

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"time"
)

// toolTime is how long load tools run that measure for a time.
const toolTime = 4 * time.Second

// pgbenchWork is queries on the rows of a real database.
func pgbenchWork() work {
	return work{
		name: "pgbench", what: "pgbench -S: SELECT of one row by its key, 20 connections",
		figures: []figure{{name: "transactions/s", compared: true}, {name: "mean ms", less: true}},
		unit:    perTransaction, backend: backendPostgres, needs: []string{"pgbench", "initdb", "postgres"},
		load: func(ctx context.Context, t *tunnel, e effort) (result, error) {
			out, err := output(ctx, "pgbench", pgbench(t.entry, "-S", "-n", "-c", "20", "-j", "2", "-T", strconv.Itoa(e.seconds(toolTime)))...)
			if err != nil {
				return result{}, err
			}
			return parsePgbench(out)
		},
	}
}

// pgbench is its arguments for a database behind a port.
func pgbench(port int, args ...string) []string {
	return append(args, "-h", "127.0.0.1", "-p", strconv.Itoa(port), "-U", "bench", "postgres")
}

var (
	pgbenchRate    = regexp.MustCompile(`(?m)^tps = ([\d.]+) \(without initial connection time\)`)
	pgbenchLatency = regexp.MustCompile(`(?m)^latency average = ([\d.]+) ms`)
	pgbenchDone    = regexp.MustCompile(`(?m)^number of transactions actually processed: (\d+)`)
)

func parsePgbench(out string) (result, error) {
	v, err := find(out, pgbenchRate, pgbenchLatency, pgbenchDone)
	if err != nil {
		return result{}, fmt.Errorf("pgbench: %w", err)
	}
	return result{values: v[:2], amount: v[2]}, nil
}

// find returns the number in each pattern's parentheses.
func find(text string, patterns ...*regexp.Regexp) ([]float64, error) {
	var all []float64
	for _, p := range patterns {
		m := p.FindStringSubmatch(text)
		if m == nil {
			return nil, fmt.Errorf("prints %.500q, expected %s", text, p)
		}
		v, err := strconv.ParseFloat(m[1], 64)
		if err != nil {
			return nil, err
		}
		all = append(all, v)
	}
	return all, nil
}
