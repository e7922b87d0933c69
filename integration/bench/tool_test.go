package main

import (
	"slices"
	"testing"
)

// The reports below have the form of redis-benchmark 7.0, pgbench 15 and wrk 4.1.

func TestRedisBenchmarkReport(t *testing.T) {
	got, err := parseBenchmark(`WARNING: Could not fetch server CONFIG
"test","rps","avg_latency_ms","min_latency_ms","p50_latency_ms","p95_latency_ms","p99_latency_ms","max_latency_ms"
"GET","13333.33","0.072","0.016","0.063","0.111","0.143","0.287"
`)
	if want := []float64{13333.33, 0.063, 0.143}; err != nil || !slices.Equal(got, want) {
		t.Errorf("read as %v (%v), expected %v", got, err, want)
	}
	for _, bad := range []string{"", "\"test\",\"rps\"\n", "\"test\",\"rps\"\n\"GET\",\"1\"\n", "Error: Connection reset by peer\n"} {
		if got, err := parseBenchmark(bad); err == nil {
			t.Errorf("%q is read as %v, expected an error", bad, got)
		}
	}
}

func TestPgbenchReport(t *testing.T) {
	got, err := parsePgbench(`transaction type: <builtin: select only>
number of transactions actually processed: 4500
number of failed transactions: 0 (0.000%)
latency average = 1.780 ms
initial connection time = 40.123 ms
tps = 11234.500000 (without initial connection time)
`)
	if want := []float64{11234.5, 1.78}; err != nil || !slices.Equal(got.values, want) || got.amount != 4500 {
		t.Errorf("read as %v (%v), expected %v of 4500", got, err, want)
	}
	if got, err := parsePgbench("pgbench: error\n"); err == nil {
		t.Errorf("an error is read as %v", got)
	}
}

func TestWrkReport(t *testing.T) {
	const report = `Running 4s test @ http://127.0.0.1:1/
  2 threads and 50 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     2.10ms    1.02ms  20.10ms   90.00%
  Latency Distribution
     50%  950.00us
     75%    2.50ms
     90%    3.00ms
     99%    1.01s
  94000 requests in 4.00s, 104.00MB read
`
	got, err := parseWrk(report + "Requests/sec:  23500.50\n")
	if want := []float64{23500.5, 0.95, 1010}; err != nil || !slices.Equal(got.values, want) || got.amount != 94000 {
		t.Errorf("read as %v (%v), expected %v of 94000", got, err, want)
	}
	for _, bad := range []string{report, report + "  Socket errors: connect 0, read 3, write 0, timeout 0\nRequests/sec:  23500.50\n"} {
		if got, err := parseWrk(bad); err == nil {
			t.Errorf("read as %v, expected an error: %s", got, bad)
		}
	}
}
