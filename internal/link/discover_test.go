package link

import (
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func TestDiscover(t *testing.T) {
	myRedis := []string{"MY_REDIS_PORT_6379_TCP=tcp://10.0.0.5:6379"}
	tests := []struct {
		name    string
		words   []string
		environ []string
		want    []Link
		warned  []string
	}{
		{"ports-in-the-word-beat-env", []string{"redis:7000"}, dockerRedis, []Link{{"redis", []Port{tcp(7000, "redis")}, SourceFlag}}, nil},
		{"env-gives-ports-and-targets", []string{"redis"}, dockerRedis, []Link{fromEnvironment("redis", aliased(6379, "172.17.0.2", "redis"))}, nil},
		{"env-by-mapped-name", []string{"my-redis"}, myRedis, []Link{fromEnvironment("my-redis", tcp(6379, "10.0.0.5"))}, nil},
		{"env-by-alias", []string{"redis:my-redis"}, append(myRedis, dockerRedis...), []Link{fromEnvironment("my-redis", tcp(6379, "10.0.0.5"))}, nil},
		{"env-by-host-when-the-alias-has-none", []string{"redis:cache"}, dockerRedis, []Link{fromEnvironment("cache", aliased(6379, "172.17.0.2", "redis"))}, nil},
		{"well-known", []string{"redis"}, nil, []Link{{"redis", []Port{tcp(6379, "redis")}, SourceWellKnown}}, nil},
		{"well-known-at-an-address", []string{"redis=[fd00::1]"}, nil, []Link{{"redis", []Port{tcp(6379, "fd00::1")}, SourceWellKnown}}, nil},
		{"well-known-by-alias", []string{"db-7:postgres"}, nil, []Link{{"postgres", []Port{tcp(5432, "db-7")}, SourceWellKnown}}, nil},
		{"well-known-by-host", []string{"redis:cache"}, nil, []Link{{"cache", []Port{tcp(6379, "redis")}, SourceWellKnown}}, nil},
		{"well-known-alias-beats-host", []string{"redis:mysql"}, nil, []Link{{"mysql", []Port{tcp(3306, "redis")}, SourceWellKnown}}, nil},
		{
			"udp-in-env-falls-through",
			[]string{"redis"},
			[]string{"REDIS_PORT_6379_UDP=udp://10.0.0.5:6379", "OTHER_PORT_1_UDP=udp://10.0.0.5:1"},
			[]Link{{"redis", []Port{tcp(6379, "redis")}, SourceWellKnown}},
			[]string{"REDIS_PORT_6379_UDP"},
		},
		{
			"several-words-sorted",
			[]string{"mq=rabbit:5672,15672", "cache=10.0.0.5:6379"},
			dockerRedis,
			[]Link{{"cache", []Port{tcp(6379, "10.0.0.5")}, SourceFlag}, {"mq", []Port{tcp(5672, "rabbit"), tcp(15672, "rabbit")}, SourceFlag}},
			nil,
		},
		{
			"no-words-all-of-env",
			nil, append(append([]string{"BAD_PORT_0_TCP=tcp://a:1"}, myRedis...), dockerRedis...),
			[]Link{fromEnvironment("my_redis", tcp(6379, "10.0.0.5")), fromEnvironment("redis", aliased(6379, "172.17.0.2", "redis"))},
			[]string{"BAD_PORT_0_TCP"},
		},
		{"no-words-no-links", nil, nil, nil, nil},
		{"no-words-compose-triple-is-one", nil, composeTriple, []Link{fromEnvironment("redis", aliased(6379, "172.18.0.2", "redis"))}, nil},
		{
			"no-words-hand-written-twins-stay",
			nil,
			[]string{"CACHE_PORT_6379_TCP=tcp://redis:6379", "SESSIONS_PORT_6379_TCP=tcp://redis:6379"},
			[]Link{fromEnvironment("cache", tcp(6379, "redis")), fromEnvironment("sessions", tcp(6379, "redis"))},
			nil,
		},
		{
			"no-words-docker-links-that-differ-stay",
			nil,
			[]string{"A_PORT_1_TCP=tcp://x:1", "A_NAME=/w/a", "B_PORT_1_TCP=tcp://y:1", "B_NAME=/w/b", "C_PORT_1_TCP=tcp://x:1", "C_PORT_2_TCP=tcp://x:2", "C_NAME=/w/c"},
			[]Link{fromEnvironment("a", aliased(1, "x", "a")), fromEnvironment("b", aliased(1, "y", "b")), fromEnvironment("c", aliased(1, "x", "c"), aliased(2, "x", "c"))},
			nil,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, warnings, err := Discover(tt.words, tt.environ)
			if err != nil || !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got %+v, %v\nwant %+v", got, err, tt.want)
			}
			if got := variables(t, warnings); !reflect.DeepEqual(got, tt.warned) {
				t.Errorf("warnings about %q, want %q", got, tt.warned)
			}
		})
	}
}

// Two links from one set of variables must not share memory.
func TestDiscoverLinksAreApart(t *testing.T) {
	links, _, err := Discover([]string{"a=redis", "b=redis"}, dockerRedis)
	if err != nil {
		t.Fatal(err)
	}
	links[0].Ports[0].Target.Host = "changed"
	if got := links[1].Ports[0].Target.Host; got != "172.17.0.2" {
		t.Errorf("the other link's host became %q", got)
	}
}

func TestDiscoverErrors(t *testing.T) {
	tests := []struct {
		name    string
		words   []string
		environ []string
		kind    error
		texts   []string
	}{
		{"syntax", []string{"redis", "a b:1"}, nil, ErrSyntax, []string{`--link "a b:1"`}},
		{"same-name", []string{"redis:6379", "redis=other:7000"}, nil, ErrConflict, []string{`"redis:6379"`, `"redis=other:7000"`, "both called redis"}},
		{
			"no-ports-no-variables",
			[]string{"foo"},
			[]string{"PATH=/bin"},
			ErrNoPorts,
			[]string{`--link "foo"`, "FOO_PORT_<port>_TCP", "Docker Engine 29 no longer sets them", "redis", "write --link foo:PORT"},
		},
		{
			"no-ports-host-and-alias",
			[]string{"my-host:foo"},
			dockerRedis,
			ErrNoPorts,
			[]string{"FOO_PORT_<port>_TCP and MY_HOST_PORT_<port>_TCP", "for foo and my-host among", "write --link foo=my-host:PORT"},
		},
		{"no-ports-address", []string{"[fd00::1]"}, nil, ErrNoPorts, []string{"write --link ip-fd00--1=[fd00::1]:PORT"}},
		{
			"no-ports-linked-without-expose",
			[]string{"foo"},
			[]string{"FOO_NAME=/web/foo", "FOO_ENV_A=hunter2"},
			ErrNoPorts,
			[]string{"FOO_NAME is there, but the container that it names exposes no port"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			links, _, err := Discover(tt.words, tt.environ)
			if !errors.Is(err, tt.kind) || !errors.Is(err, ErrUsage) || links != nil {
				t.Fatalf("got %+v, %v", links, err)
			}
			for _, text := range tt.texts {
				if !strings.Contains(err.Error(), text) {
					t.Errorf("%q is not in %v", text, err)
				}
			}
		})
	}
	if _, _, err := Discover([]string{"foo"}, dockerRedis); strings.Contains(err.Error(), "Docker Engine") {
		t.Errorf("blames Docker although there are link variables: %v", err)
	}
}

func TestWellKnownPorts(t *testing.T) {
	tests := []struct {
		name string
		want []uint16
	}{
		{"redis", []uint16{6379}},
		{"Redis", []uint16{6379}},
		{"redis_1", []uint16{6379}},
		{"redis-12", []uint16{6379}},
		{"redis1", nil},
		{"redisx1", nil},
		{"redis-", nil},
		{"my-redis", nil},
		{"redis-1-2", nil},
		{"redis.example.com", nil},
		{"1", nil},
		{"-1", nil},
		{"", nil},
	}
	for _, tt := range tests {
		if got := WellKnownPorts(tt.name); !slices.Equal(got, tt.want) {
			t.Errorf("%q: got %v, want %v", tt.name, got, tt.want)
		}
	}
	WellKnownPorts("redis")[0] = 1
	if got := WellKnownPorts("redis"); got[0] != 6379 {
		t.Error("a caller can change the table")
	}
	for _, name := range WellKnownNames() {
		if CheckName(name) != nil || name != strings.ToLower(name) || len(WellKnownPorts(name)) == 0 {
			t.Errorf("entry %q", name)
		}
	}
}

func TestNoLinksSaysWhatToDo(t *testing.T) {
	err := NoLinks([]string{"PATH=/bin", "KUBERNETES_PORT_443_TCP=tcp://10.0.0.1:443"})
	if !errors.Is(err, ErrNoLinks) || errors.Is(err, ErrUsage) {
		t.Errorf("%v must match ErrNoLinks and not ErrUsage", err)
	}
	for _, text := range []string{
		"ALIAS_PORT_<port>_TCP=tcp://HOST:PORT", "Docker Engine 29 no longer sets them", "28.4",
		"DOCKER_KEEP_DEPRECATED_LEGACY_LINKS_ENV_VARS=1 on the daemon", "-e REDIS_PORT_6379_TCP=tcp://redis:6379", "HOST PORT", "--link redis:6379",
	} {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("%q is not in %v", text, err)
		}
	}
	err = NoLinks(append([]string{"A_NAME=/web/a", "B_NAME=/web/b", "B_ENV_PASSWORD=hunter2", "KUBERNETES_NAME=/a/kubernetes"}, dockerRedis...))
	if !strings.Contains(err.Error(), "; A_NAME, B_NAME: a container is linked, but its image exposes no port") || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("got %v", err)
	}
}

func TestForwards(t *testing.T) {
	triple, _ := FromEnv(composeTriple)
	tests := []struct {
		name  string
		links []Link
		want  []Forward
	}{
		{"none", nil, nil},
		{"compose-triple-is-one", triple, []Forward{{6379, Target{"172.18.0.2", 6379, "redis"}, "redis"}}},
		{
			"sorted-by-local-port",
			[]Link{fromEnvironment("b", tcp(1, "x"), tcp(3, "x")), fromEnvironment("a", Port{2, Target{Host: "y", Port: 9}})},
			[]Forward{{1, Target{Host: "x", Port: 1}, "b"}, {2, Target{Host: "y", Port: 9}, "a"}, {3, Target{Host: "x", Port: 3}, "b"}},
		},
		{
			"host-names-have-no-case",
			[]Link{fromEnvironment("a", tcp(1, "Redis")), fromEnvironment("b", tcp(1, "redis"))},
			[]Forward{{1, Target{Host: "Redis", Port: 1}, "a"}},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got, err := Forwards(tt.links); err != nil || !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got %+v, %v\nwant %+v", got, err, tt.want)
			}
		})
	}
}

func TestForwardsRefusesTwoTargetsOfOnePort(t *testing.T) {
	for _, other := range []Port{tcp(6379, "10.0.0.6"), {6379, Target{Host: "10.0.0.5", Port: 6380}}} {
		_, err := Forwards([]Link{fromEnvironment("sessions", other), fromEnvironment("cache", tcp(6379, "10.0.0.5"))})
		var conflict *ConflictError
		if !errors.As(err, &conflict) || !errors.Is(err, ErrConflict) || !errors.Is(err, ErrUsage) {
			t.Fatalf("got %v", err)
		}
		if conflict.Local != 6379 || conflict.Links != [2]string{"cache", "sessions"} || conflict.Targets[1] != other.Target {
			t.Errorf("got %+v", conflict)
		}
		for _, text := range []string{`"cache" (to 10.0.0.5:6379)`, `"sessions" (to ` + other.Target.String() + `)`, "local port 6379"} {
			if !strings.Contains(err.Error(), text) {
				t.Errorf("%q is not in %v", text, err)
			}
		}
	}
}

func TestLinkPort(t *testing.T) {
	l := fromEnvironment("a", tcp(1, "x"), tcp(5, "x"), tcp(9, "y"))
	for _, want := range l.Ports {
		if got, ok := l.Port(want.Number); !ok || got != want {
			t.Errorf("%d: got %+v, %v", want.Number, got, ok)
		}
	}
	for _, n := range []uint16{0, 2, 10} {
		if got, ok := l.Port(n); ok || got != (Port{}) {
			t.Errorf("%d: got %+v", n, got)
		}
	}
}

func TestTargetString(t *testing.T) {
	if got := (Target{Host: "fd00::1", Port: 6379, Alias: "redis"}).String(); got != "[fd00::1]:6379" {
		t.Error(got)
	}
	if got := (Target{Host: "redis", Port: 6379}).String(); got != "redis:6379" {
		t.Error(got)
	}
}
