package admin

import (
	"context"
	"net/http"
	"strings"
	"time"

	"ambassador/internal/live"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

const (
	// fresh is how old what a scrape or a probe says of backends may be.
	fresh = 5 * time.Second
	// hurry is how long one waits for backends: the time that Kubernetes gives a
	// probe, if it is not told otherwise, is a second.
	hurry = 750 * time.Millisecond
	// maxScrapes at once: each one takes memory for all that it shows.
	maxScrapes = 4
)

// metrics are for Prometheus, with those of the Go runtime and of the process.
func (a *Ambassador) metrics() http.Handler {
	registry := a.registry()
	return promhttp.HandlerFor(registry, promhttp.HandlerOpts{MaxRequestsInFlight: maxScrapes})
}

func (a *Ambassador) registry() *prometheus.Registry {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collector{a}, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return registry
}

// collector makes the metrics of one look at the ambassador when they are asked
// for: what is counted is in the table, and nothing is counted twice.
type collector struct{ a *Ambassador }

// Describe implements prometheus.Collector.
func (c collector) Describe(descs chan<- *prometheus.Desc) {
	for i := range families {
		descs <- families[i].desc()
	}
}

// Collect implements prometheus.Collector.
func (c collector) Collect(metrics chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), hurry)
	defer cancel()
	s := c.a.scrape(ctx)
	for i := range families {
		f := &families[i]
		desc := f.desc()
		if f.values != nil {
			f.values(s, func(v float64, labels ...string) {
				metrics <- prometheus.MustNewConstMetric(desc, f.kind, v, valid(labels)...)
			})
		}
		if f.histograms != nil {
			f.histograms(s, func(h live.Histogram, labels ...string) {
				metrics <- prometheus.MustNewConstHistogram(desc, h.Count, h.Sum, cumulated(h), valid(labels)...)
			})
		}
	}
}

// valid keeps one strange name from costing all metrics: values are UTF-8.
func valid(labels []string) []string {
	for i, l := range labels {
		labels[i] = strings.ToValidUTF8(l, "\uFFFD")
	}
	return labels
}

// cumulated are a histogram's buckets as Prometheus wants them.
func cumulated(h live.Histogram) map[float64]uint64 {
	buckets := make(map[float64]uint64, len(live.Bounds))
	sum := uint64(0)
	for i, bound := range live.Bounds {
		if h.Counts != nil {
			sum += h.Counts[i]
		}
		buckets[bound] = sum
	}
	return buckets
}

// family is one metric with all its labels' values. docs/metrics.md lists them.
type family struct {
	name   string // without the prefix
	help   string
	labels []string
	kind   prometheus.ValueType // of values

	// One of the two puts what there is at this moment.
	values     func(s *scrape, put func(v float64, labels ...string))
	histograms func(s *scrape, put func(h live.Histogram, labels ...string))
}

func (f *family) desc() *prometheus.Desc {
	return prometheus.NewDesc("ambassador_"+f.name, f.help, f.labels, nil)
}

const (
	gauge   = prometheus.GaugeValue
	counter = prometheus.CounterValue
)

var (
	byLink         = []string{"link"}
	byPeer         = []string{"peer"}
	byReason       = []string{"reason"}
	byLinkAndPeer  = []string{"link", "peer"}
	byLinkAndCause = []string{"link", "reason"}
)
