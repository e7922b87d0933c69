package main

import (
	"context"
	"encoding/csv"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
)

// What redis-benchmark yields.
func requestFigures(what string) []figure {
	return []figure{{name: what + "/s", compared: true}, {name: "p50 ms", less: true}, {name: "p99 ms", less: true}}
}

// redisWorks are small requests and replies, and connections with one request.
func redisWorks() []work {
	get := func(name, what string, requests int, args ...string) work {
		return redisWork(name, what, perRequest, requests, append([]string{"-t", "get"}, args...)...)
	}
	large := get("get64k", "GET of 64 KiB, 50 connections", 20000, "-c", "50")
	large.load = afterSetting(64<<10, large.load)
	return []work{
		get("get1", "GET, 1 connection", 20000, "-c", "1"),
		get("get50", "GET, 50 connections", 150000, "-c", "50"),
		get("get500", "GET, 500 connections", 150000, "-c", "500"),
		large,
		get("pipe", "GET, 50 connections, 16 requests at a time in each", 1000000, "-c", "50", "-P", "16"),
		redisWork("conn", "PING on a new connection each, 50 at a time", perConnection, 8000, "-t", "ping_mbulk", "-c", "50", "-k", "0"),
	}
}

// wideWorks are the same over the long carrier, where time is round trips.
func wideWorks() []work {
	all := []work{
		redisWork("wan_get1", "GET, 1 connection, at a round trip of 50 ms", perRequest, 100, "-t", "get", "-c", "1"),
		redisWork("wan_conn", "PING on a new connection each, 50 at a time, at a round trip of 50 ms", perConnection, 1500, "-t", "ping_mbulk", "-c", "50", "-k", "0"),
	}
	for i := range all {
		all[i].wide = true
	}
	return all
}

func redisWork(name, what string, u unit, requests int, args ...string) work {
	return work{
		name: name, what: "redis-benchmark: " + what, figures: requestFigures(u.name + "s"), unit: u,
		backend: backendRedis, needs: []string{"redis-server", "redis-benchmark"},
		load: func(ctx context.Context, t *tunnel, e effort) (result, error) {
			n := e.count(requests, 50)
			values, err := redisBenchmark(ctx, t.entry, append(slices.Clip(args), "-n", strconv.Itoa(n))...)
			return result{values: values, amount: float64(n)}, err
		},
	}
}

// afterSetting gives the key that is asked for a value of so many bytes.
func afterSetting(size int, load func(context.Context, *tunnel, effort) (result, error)) func(context.Context, *tunnel, effort) (result, error) {
	return func(ctx context.Context, t *tunnel, e effort) (result, error) {
		c, err := net.Dial("tcp", loopback(t.backend.port))
		if err != nil {
			return result{}, err
		}
		defer c.Close()
		if err := setValue(c, size); err != nil {
			return result{}, err
		}
		return load(ctx, t, e)
	}
}

// redisBenchmark runs it against a port, and returns requests a second and the
// latency's median and 99th percentile in milliseconds.
func redisBenchmark(ctx context.Context, port int, args ...string) ([]float64, error) {
	out, err := output(ctx, "redis-benchmark", append([]string{"-h", "127.0.0.1", "-p", strconv.Itoa(port), "--csv"}, args...)...)
	if err != nil {
		return nil, err
	}
	return parseBenchmark(out)
}

// parseBenchmark reads redis-benchmark's --csv: a line with the columns' names,
// and one with the figures.
func parseBenchmark(out string) ([]float64, error) {
	r := csv.NewReader(strings.NewReader(out[max(strings.Index(out, `"test"`), 0):]))
	lines, err := r.ReadAll()
	if err != nil || len(lines) != 2 {
		return nil, fmt.Errorf("redis-benchmark prints %.200q, expected two lines of CSV: %w", out, err)
	}
	var values []float64
	for _, column := range []string{"rps", "p50_latency_ms", "p99_latency_ms"} {
		i := slices.Index(lines[0], column)
		if i < 0 {
			return nil, fmt.Errorf("redis-benchmark prints no column %s: %q", column, lines[0])
		}
		v, err := strconv.ParseFloat(lines[1][i], 64)
		if err != nil {
			return nil, fmt.Errorf("redis-benchmark's %s: %w", column, err)
		}
		values = append(values, v)
	}
	return values, nil
}
