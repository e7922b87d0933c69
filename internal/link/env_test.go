package link

import (
	"errors"
	"reflect"
	"strings"
	"testing"
)

// tcp makes a port dialled under its own number.
func tcp(number uint16, host string) Port {
	return Port{Number: number, Target: Target{Host: host, Port: number}}
}

// aliased is tcp for a link that Docker made.
func aliased(number uint16, host, alias string) Port {
	p := tcp(number, host)
	p.Target.Alias = alias
	return p
}

func fromEnvironment(name string, ports ...Port) Link {
	return Link{Name: name, Ports: ports, Source: SourceEnvironment}
}

// What docker run --link redis:redis wrote on Docker Engine 20.10.24.
var dockerRedis = []string{
	"PATH=/usr/bin:/bin",
	"HOSTNAME=3f2a",
	"REDIS_PORT=tcp://172.17.0.2:6379",
	"REDIS_PORT_6379_TCP=tcp://172.17.0.2:6379",
	"REDIS_PORT_6379_TCP_ADDR=172.17.0.2",
	"REDIS_PORT_6379_TCP_PORT=6379",
	"REDIS_PORT_6379_TCP_PROTO=tcp",
	"REDIS_NAME=/sweet_proskuriakova/redis",
	"REDIS_ENV_REDIS_VERSION=7.0.15",
}

// What Docker writes for an image that exposes 7000 to 7002.
var dockerRange = []string{
	"CLUSTER_PORT=tcp://172.17.0.3:7000",
	"CLUSTER_PORT_7000_TCP_START=tcp://172.17.0.3:7000",
	"CLUSTER_PORT_7000_TCP_ADDR=172.17.0.3",
	"CLUSTER_PORT_7000_TCP_PROTO=tcp",
	"CLUSTER_PORT_7000_TCP_PORT_START=7000",
	"CLUSTER_PORT_7000_TCP_END=tcp://172.17.0.3:7002",
	"CLUSTER_PORT_7000_TCP_PORT_END=7002",
	"CLUSTER_PORT_7000_TCP=tcp://172.17.0.3:7000",
	"CLUSTER_PORT_7001_TCP=tcp://172.17.0.3:7001",
	"CLUSTER_PORT_7002_TCP=tcp://172.17.0.3:7002",
	"CLUSTER_NAME=/app/cluster",
}

// What Compose v1 writes for links: [redis].
var composeTriple = []string{
	"REDIS_PORT_6379_TCP=tcp://172.18.0.2:6379", "REDIS_NAME=/proj_web_1/redis",
	"REDIS_1_PORT_6379_TCP=tcp://172.18.0.2:6379", "REDIS_1_NAME=/proj_web_1/redis_1",
	"PROJ_REDIS_1_PORT_6379_TCP=tcp://172.18.0.2:6379", "PROJ_REDIS_1_NAME=/proj_web_1/proj_redis_1",
}

var fromEnvTests = []struct {
	name    string
	environ []string
	links   []Link
	warned  []string // the variables, in order
}{
	{"docker-link", dockerRedis, []Link{fromEnvironment("redis", aliased(6379, "172.17.0.2", "redis"))}, nil},
	{
		"alias-changes-case-and-dash-only",
		[]string{"MY_REDIS.DB_PORT_6379_TCP=tcp://172.17.0.2:6379"},
		[]Link{fromEnvironment("my_redis.db", tcp(6379, "172.17.0.2"))},
		nil,
	},
	{
		"name-variable-restores-the-alias",
		[]string{"MY_REDIS.DB_PORT_6379_TCP=tcp://172.17.0.2:6379", "MY_REDIS.DB_NAME=/web/My-redis.db"},
		[]Link{fromEnvironment("My-redis.db", aliased(6379, "172.17.0.2", "My-redis.db"))},
		nil,
	},
	{
		"name-variable-of-another-program",
		[]string{"REDIS_PORT_6379_TCP=tcp://redis:6379", "REDIS_NAME=cache-prod"},
		[]Link{fromEnvironment("redis", tcp(6379, "redis"))},
		nil,
	},
	{
		"port-in-name-is-the-consumers-port-in-value-is-dialled",
		[]string{"REDIS_PORT_6379_TCP=tcp://192.168.1.52:16379"},
		[]Link{fromEnvironment("redis", Port{6379, Target{Host: "192.168.1.52", Port: 16379}})},
		nil,
	},
	{
		"host-name-in-value",
		[]string{"REDIS_PORT_6379_TCP=tcp://my_redis.internal:6379"},
		[]Link{fromEnvironment("redis", tcp(6379, "my_redis.internal"))},
		nil,
	},
	{
		"linked-to-an-ambassador-opens-once",
		append([]string{
			"REDIS_ENV_REDIS_PORT_6379_TCP=tcp://172.17.0.9:6379",
			"REDIS_ENV_REDIS_PORT=tcp://172.17.0.9:6379",
			"REDIS_ENV_REDIS_NAME=/ambassador/redis",
		}, dockerRedis...),
		[]Link{fromEnvironment("redis", aliased(6379, "172.17.0.2", "redis"))},
		nil,
	},
	{
		"env-copies-alone-are-no-link",
		[]string{"REDIS_ENV_PASSWORD=hunter2", "REDIS_ENV_BACKEND_PORT_5432_TCP=tcp://10.0.0.1:5432", "A_ENV_B_ENV_PORT_1_TCP=tcp://a:1", "A_ENV_PORT_RANGE=5"},
		nil, nil,
	},
	{
		"env-copy-that-looks-like-a-port-is-never-read",
		[]string{"MY_ENV_PORT_6379_TCP=tcp://172.17.0.2:6379", "MY_ENV_NAME=/web/my-env"},
		nil,
		[]string{"MY_ENV_PORT_6379_TCP"},
	},
	{
		"another-case-is-no-way-around",
		[]string{
			"redis_env_db_PORT_5432_TCP=tcp://a:5432", "redis-ENV-db_PORT_5432_TCP=tcp://a:5432", "Redis_Env_NAME=/web/redis_env",
			"kubernetes_PORT_443_TCP=tcp://a:443", "kubernetes_NAME=/w/kubernetes", "my-env_PORT_1_TCP=tcp://a:1",
		},
		nil,
		[]string{"my-env_PORT_1_TCP"},
	},
	{
		"alias-env-itself",
		[]string{"ENV_PORT_6379_TCP=tcp://172.17.0.2:6379", "ENV_ENV_SECRET=x"},
		[]Link{fromEnvironment("env", tcp(6379, "172.17.0.2"))},
		nil,
	},
	{
		"alias-environment-is-not-env",
		[]string{"MY_ENVIRONMENT_PORT_80_TCP=tcp://a:80"},
		[]Link{fromEnvironment("my_environment", tcp(80, "a"))},
		nil,
	},
	{
		"port-range", dockerRange,
		[]Link{fromEnvironment("cluster", aliased(7000, "172.17.0.3", "cluster"), aliased(7001, "172.17.0.3", "cluster"), aliased(7002, "172.17.0.3", "cluster"))},
		nil,
	},
	{
		"compose-v1-writes-three", composeTriple,
		[]Link{
			fromEnvironment("proj_redis_1", aliased(6379, "172.18.0.2", "proj_redis_1")),
			fromEnvironment("redis", aliased(6379, "172.18.0.2", "redis")),
			fromEnvironment("redis_1", aliased(6379, "172.18.0.2", "redis_1")),
		},
		nil,
	},
	{"no-exposed-port", []string{"REDIS_NAME=/web/redis", "REDIS_ENV_A=b"}, nil, nil},
	{
		"kubernetes",
		[]string{
			"KUBERNETES_PORT=tcp://10.0.0.1:443", "KUBERNETES_PORT_443_TCP=tcp://10.0.0.1:443", "KUBERNETES_PORT_53_UDP=udp://10.0.0.1:53",
			"KUBERNETES_NAME=/a/kubernetes", "KUBERNETES_ENV_PORT_1_TCP=tcp://a:1",
			"REDIS_MASTER_SERVICE_HOST=10.0.0.11", "REDIS_MASTER_SERVICE_PORT=6379", "REDIS_MASTER_SERVICE_PORT_TCP=6379",
			"REDIS_MASTER_PORT=tcp://10.0.0.11:6379", "REDIS_MASTER_PORT_6379_TCP=tcp://10.0.0.11:6379",
		},
		[]Link{fromEnvironment("redis_master", tcp(6379, "10.0.0.11"))},
		nil,
	},
	{
		"ipv6-both-ways",
		[]string{"A_PORT_6379_TCP=tcp://[fd00::1]:6379", "B_PORT_6379_TCP=tcp://fd00::1:6379", "C_PORT_1_TCP=tcp://[FD00:0:0::1]:1", "D_PORT_1_TCP=tcp://FD00:0:0::1:1"},
		[]Link{fromEnvironment("a", tcp(6379, "fd00::1")), fromEnvironment("b", tcp(6379, "fd00::1")), fromEnvironment("c", tcp(1, "fd00::1")), fromEnvironment("d", tcp(1, "fd00::1"))},
		nil,
	},
	{
		"udp-and-sctp-are-refused-and-tcp-beside-them-works",
		[]string{"DNS_PORT=tcp://10.0.0.2:53", "DNS_PORT_53_TCP=tcp://10.0.0.2:53", "DNS_PORT_53_UDP=udp://10.0.0.2:53", "SIG_PORT_9_SCTP=sctp://10.0.0.3:9"},
		[]Link{fromEnvironment("dns", tcp(53, "10.0.0.2"))},
		[]string{"DNS_PORT_53_UDP", "SIG_PORT_9_SCTP"},
	},
	{"bare-port-alone", []string{"REDIS_NAME=/web/redis", "REDIS_PORT=tcp://10.0.0.5:6379"}, nil, []string{"REDIS_PORT"}},
	{"bare-port-of-another-program", []string{"REDIS_PORT=6379", "PORT=8080", "_PORT=tcp://a:1"}, nil, nil},
	{
		"alias-that-ends-in-port",
		[]string{"FOO_PORT_PORT=tcp://a:80", "FOO_PORT_PORT_80_TCP=tcp://a:80", "FOO_PORT_PORT_80_TCP_PORT=80"},
		[]Link{fromEnvironment("foo_port", tcp(80, "a"))},
		nil,
	},
	{
		"alias-that-holds-port",
		[]string{"MY_PORT_PROXY_PORT=tcp://a:80", "MY_PORT_PROXY_PORT_80_TCP=tcp://a:80"},
		[]Link{fromEnvironment("my_port_proxy", tcp(80, "a"))},
		nil,
	},
	{
		"malformed-among-good-ones",
		[]string{
			"GOOD_PORT_1_TCP=tcp://a:1",
			"A_PORT_0_TCP=tcp://a:1", "B_PORT_65536_TCP=tcp://a:1", "C_PORT_080_TCP=tcp://a:80", "D_PORT_X_TCP=tcp://a:80",
			"E_PORT_80_TCP=tcp://a", "F_PORT_80_TCP=tcp://a:0", "G_PORT_80_TCP=tcp://a:65536", "H_PORT_80_TCP=a:80",
			"I_PORT_80_TCP=udp://a:80", "J_PORT_80_TCP=tcp://:80", "K_PORT_80_TCP=", "L_PORT_80_TCP=tcp://a:80/",
			"M_PORT_80_TCP=tcp://a b:80", "N_PORT_80_TCP=tcp://10.0.0:80", "O_PORT_80_TCP=tcp://[fd00::1]", "P_PORT_80_TCP=tcp://[10.0.0.5]:80",
			"Q_PORT_80_TCP=tcp://[fd00::1]x:80", "R_PORT_80=tcp://a:80", "S_PORT_80_TCP_HOST=tcp://a:80", "T_PORT_80_TCP=tcp://fe80::1%a b:80",
			"1_PORT_80_TCP=tcp://a:80", "_U_PORT_80_TCP=tcp://a:80", "V/W_PORT_80_TCP=tcp://a:80", "X_PORT_80_TCP=tcp://[fd00::1]:2:80",
			strings.Repeat("Y", 64) + "_PORT_80_TCP=tcp://a:80", "Z_PORT_80_TCP=tcp://" + strings.Repeat("z", 254) + ":80",
		},
		[]Link{fromEnvironment("good", tcp(1, "a"))},
		[]string{
			"1_PORT_80_TCP", "A_PORT_0_TCP", "B_PORT_65536_TCP", "C_PORT_080_TCP", "D_PORT_X_TCP",
			"E_PORT_80_TCP", "F_PORT_80_TCP", "G_PORT_80_TCP", "H_PORT_80_TCP", "I_PORT_80_TCP", "J_PORT_80_TCP", "K_PORT_80_TCP", "L_PORT_80_TCP",
			"M_PORT_80_TCP", "N_PORT_80_TCP", "O_PORT_80_TCP", "P_PORT_80_TCP", "Q_PORT_80_TCP", "R_PORT_80", "S_PORT_80_TCP_HOST", "T_PORT_80_TCP",
			"V/W_PORT_80_TCP", "X_PORT_80_TCP", strings.Repeat("Y", 64) + "_PORT_80_TCP", "Z_PORT_80_TCP", "_U_PORT_80_TCP",
		},
	},
	{
		"not-links-at-all",
		[]string{"", "=C:=C:\\dir", "NOVALUE", "_PORT_80_TCP=tcp://a:80", "MY_PORT_SETTING=on", "A_PORT_53_UDP=on", "TCP=tcp://a:1"},
		nil, nil,
	},
	{
		"twice-the-first-counts",
		[]string{"A_PORT_1_TCP=tcp://a:1", "A_PORT_1_TCP=tcp://b:1"},
		[]Link{fromEnvironment("a", tcp(1, "a"))},
		nil,
	},
	{
		"prefixes-that-differ-in-case",
		[]string{"a-b_PORT_1_TCP=tcp://x:1", "A_B_PORT_1_TCP=tcp://y:1", "A_B_PORT_2_TCP=tcp://h:2", "a_b_PORT_2_TCP=tcp://H:2"},
		[]Link{fromEnvironment("a_b", tcp(1, "y"), tcp(2, "h"))},
		[]string{"a-b_PORT_1_TCP"},
	},
	{
		"one-alias-for-all-prefixes-of-a-link",
		[]string{"A_PORT_1_TCP=tcp://x:1", "A_NAME=/w/a", "a_PORT_2_TCP=tcp://x:2"},
		[]Link{fromEnvironment("a", aliased(1, "x", "a"), aliased(2, "x", "a"))},
		nil,
	},
	{
		"sorted-by-name-not-by-prefix",
		[]string{"A.B_PORT_1_TCP=tcp://x:1", "A_C_PORT_1_TCP=tcp://x:1", "A_C_NAME=a-c"},
		[]Link{fromEnvironment("a-c", tcp(1, "x")), fromEnvironment("a.b", tcp(1, "x"))},
		nil,
	},
}

func TestFromEnv(t *testing.T) {
	for _, tt := range fromEnvTests {
		t.Run(tt.name, func(t *testing.T) {
			links, warnings := FromEnv(tt.environ)
			if !reflect.DeepEqual(links, tt.links) {
				t.Errorf("links\n got %+v\nwant %+v", links, tt.links)
			}
			if got := variables(t, warnings); !reflect.DeepEqual(got, tt.warned) {
				t.Errorf("warnings about\n got %q\nwant %q", got, tt.warned)
			}
		})
	}
}

// variables returns what the warnings name.
func variables(t *testing.T, warnings []error) []string {
	t.Helper()
	var names []string
	for _, w := range warnings {
		var v *VariableError
		if !errors.As(w, &v) {
			t.Fatalf("warning %v is no *VariableError", w)
		}
		names = append(names, v.Variable)
	}
	return names
}

func TestFromEnvWarningsSayWhatIsWrong(t *testing.T) {
	tests := []struct{ entry, want string }{
		{"DNS_PORT_53_UDP=udp://a:53", "variable DNS_PORT_53_UDP passed over: udp is not carried, only tcp is"},
		{"A_PORT_1_TCP=tcp://a", "variable A_PORT_1_TCP passed over: its value is not tcp://HOST:PORT (such as tcp://redis:6379): the port is missing"},
		{"A_PORT_1_TCP=tcp://[fd00::1]", "variable A_PORT_1_TCP passed over: its value is not tcp://HOST:PORT (such as tcp://redis:6379): the port is missing"},
		{"A_PORT_99999_TCP=tcp://a:1", "variable A_PORT_99999_TCP passed over: the number in its name is not a port from 1 to 65535"},
		{"A_PORT_1=tcp://a:1", "variable A_PORT_1 passed over: its name is not ALIAS_PORT_<port>_TCP, such as REDIS_PORT_6379_TCP"},
		{"A\x1b[2J_PORT_1_TCP=tcp://a:1", `variable "A\x1b[2J_PORT_1_TCP" passed over: the link's name holds something else than letters, digits, ".", "_" and "-"`},
	}
	for _, tt := range tests {
		_, warnings := FromEnv([]string{tt.entry})
		if len(warnings) != 1 || warnings[0].Error() != tt.want {
			t.Errorf("%q:\n got %v\nwant %s", tt.entry, warnings, tt.want)
		}
	}
	_, warnings := FromEnv([]string{"DNS_PORT_53_UDP=udp://a:53"})
	if !errors.Is(warnings[0], ErrProtocol) {
		t.Errorf("%v does not match ErrProtocol", warnings[0])
	}
}

// A value that is no link may be a URL with a password, or another
// container's secret.
func TestFromEnvWarningsHoldNoValue(t *testing.T) {
	_, warnings := FromEnv([]string{
		"DB_PORT_5432_TCP=postgres://app:hunter2@db/app",
		"EB_PORT_5432_TCP=tcp://app:hunter2@db:5432",
		"FB_PORT_5432_TCP=tcp://db:hunter2",
		"GB_PORT_5432_TCP=hunter2",
		"HB_PORT_5432_TCP=tcp://[hunter2]:1",
		"IB_PORT=tcp://hunter2",
		"JB_PORT_1=tcp://hunter2",
		"MY_ENV_PORT_6379_TCP=hunter2",
	})
	if len(warnings) != 8 {
		t.Fatalf("%d warnings, want 8: %v", len(warnings), warnings)
	}
	for _, w := range warnings {
		if strings.Contains(w.Error(), "hunter2") {
			t.Errorf("warning shows the value: %v", w)
		}
	}
}

func TestReadVariableKnowsRanges(t *testing.T) {
	for _, key := range []string{
		"A_PORT_7000_TCP_START", "A_PORT_7000_TCP_END", "A_PORT_7000_TCP_PORT_START", "A_PORT_7000_TCP_PORT_END",
		"A_PORT_7000_UDP_PORT_END", "A_PORT_7000_TCP_ADDR", "A_PORT_7000_TCP_PORT", "A_PORT_7000_SCTP_PROTO",
	} {
		if v := readVariable(key); v.kind != derived {
			t.Errorf("%s: got %+v", key, v)
		}
	}
}

func TestEnvWritesDockersVariables(t *testing.T) {
	l := fromEnvironment("redis", aliased(6379, "172.17.0.2", "redis"))
	want := []string{
		"REDIS_PORT=tcp://172.17.0.2:6379",
		"REDIS_PORT_6379_TCP=tcp://172.17.0.2:6379",
		"REDIS_PORT_6379_TCP_ADDR=172.17.0.2",
		"REDIS_PORT_6379_TCP_PORT=6379",
		"REDIS_PORT_6379_TCP_PROTO=tcp",
		"REDIS_NAME=/ambassador/redis",
	}
	if got := l.Env(); !reflect.DeepEqual(got, want) {
		t.Errorf("got %q\nwant %q", got, want)
	}
	v6 := Link{Name: "db", Ports: []Port{{5432, Target{Host: "fd00::1", Port: 15432}}}}
	want = []string{
		"DB_PORT=tcp://[fd00::1]:15432",
		"DB_PORT_5432_TCP=tcp://[fd00::1]:15432",
		"DB_PORT_5432_TCP_ADDR=fd00::1",
		"DB_PORT_5432_TCP_PORT=15432",
		"DB_PORT_5432_TCP_PROTO=tcp",
	}
	if got := v6.Env(); !reflect.DeepEqual(got, want) {
		t.Errorf("got %q\nwant %q", got, want)
	}
	foreign := fromEnvironment("cache", aliased(1, "x", "redis"))
	if got := strings.Join(foreign.Env(), " "); strings.Contains(got, "_NAME=") {
		t.Errorf("an alias that is not the link's name is written: %q", got)
	}
	if got := (Link{Name: "none"}).Env(); got != nil {
		t.Errorf("no ports: %q", got)
	}
}

func TestEnvReadsBackTheSame(t *testing.T) {
	for _, tt := range fromEnvTests {
		links, _ := FromEnv(tt.environ)
		checkReadsBack(t, links)
	}
	for _, name := range []string{"my-redis", "MyRedis", "my_redis", "a.b-c", "env", "3scale"} {
		checkReadsBack(t, []Link{fromEnvironment(name, tcp(6379, "redis"), tcp(6380, "redis"))})
	}
}

// checkReadsBack writes links and reads them; each must come back as it was
// and without a warning.
func checkReadsBack(t *testing.T, links []Link) {
	t.Helper()
	for _, l := range links {
		got, warnings := FromEnv(l.Env())
		if len(warnings) > 0 || !reflect.DeepEqual(got, []Link{l}) {
			t.Errorf("written %q\nread back %+v %v\nwant %+v", l.Env(), got, warnings, l)
		}
	}
}

func FuzzFromEnv(f *testing.F) {
	for _, tt := range fromEnvTests {
		f.Add(strings.Join(tt.environ, "\x00"))
	}
	f.Fuzz(func(t *testing.T, environ string) {
		links, warnings := FromEnv(strings.Split(environ, "\x00"))
		checkReadsBack(t, links)
		for i, l := range links {
			if err := CheckName(l.Name); err != nil {
				t.Error(err)
			}
			if i > 0 && links[i-1].Name >= l.Name {
				t.Errorf("%q before %q", links[i-1].Name, l.Name)
			}
			for j, p := range l.Ports {
				if p.Number == 0 || p.Target.Port == 0 || p.Target.Host == "" || j > 0 && l.Ports[j-1].Number >= p.Number {
					t.Errorf("ports %+v", l.Ports)
				}
			}
		}
		for _, w := range warnings {
			if w.Error() == "" {
				t.Error("empty warning")
			}
		}
		if _, _, err := Discover(nil, strings.Split(environ, "\x00")); err != nil {
			t.Error(err)
		}
	})
}
