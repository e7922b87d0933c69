package client

import (
	"slices"
	"strings"
	"testing"

	"ambassador/internal/link"
	"ambassador/mux"
)

func TestPlan(t *testing.T) {
	offers := []mux.Offer{{Name: "cache", Ports: []uint16{6379}}, {Name: "mq", Ports: []uint16{5672, 15672}}, {Name: "redis", Ports: []uint16{6379}}}
	for name, c := range map[string]struct {
		words []string
		want  []string // LOCAL LINK:PORT, or LOCAL and a word of what is wrong
	}{
		"one":       {[]string{"16379=redis"}, []string{"127.0.0.1:16379 redis:6379"}},
		"by-port":   {[]string{"5672"}, []string{"127.0.0.1:5672 mq:5672"}},
		"by-link":   {[]string{"mq"}, []string{"127.0.0.1:5672 mq:5672", "127.0.0.1:15672 mq:15672"}},
		"address":   {[]string{"0.0.0.0:1=redis:6379"}, []string{"0.0.0.0:1 redis:6379"}},
		"missing":   {[]string{"1=postgres", "postgres"}, []string{"127.0.0.1:1 no such link", " no such link"}},
		"ambiguous": {[]string{"6379"}, []string{"127.0.0.1:6379 2 links offer"}},
		"twice":     {[]string{"1=redis", "1=cache"}, []string{"127.0.0.1:1 redis:6379", "127.0.0.1:1 is taken by"}},
		"same":      {[]string{"5672", "mq"}, []string{"127.0.0.1:5672 mq:5672", "127.0.0.1:5672 mq:5672", "127.0.0.1:15672 mq:15672"}},
		"all":       {nil, []string{"127.0.0.1:6379 cache:6379", "127.0.0.1:5672 mq:5672", "127.0.0.1:15672 mq:15672", "127.0.0.1:6379 is taken by"}},
	} {
		t.Run(name, func(t *testing.T) {
			var exposes []link.Expose
			for _, w := range c.words {
				e, err := link.ParseExpose(w)
				if err != nil {
					t.Fatal(err)
				}
				exposes = append(exposes, e)
			}
			ok := slices.EqualFunc(Plan(exposes, offers, ""), c.want, func(p Planned, want string) bool {
				local, what, _ := strings.Cut(want, " ")
				if p.Err != nil {
					return p.Local == local && strings.Contains(p.Err.Problem, what)
				}
				return p.Local == local && p.String() == what
			})
			if !ok {
				t.Errorf("%+v, want %q", Plan(exposes, offers, ""), c.want)
			}
		})
	}
}
