package link

import (
	"errors"
	"reflect"
	"strings"
	"testing"
)

var specTests = []struct {
	word string
	want Spec
}{
	{"redis", Spec{Name: "redis", Host: "redis"}},
	{"redis:6379", Spec{"redis", "redis", []uint16{6379}}},
	{"redis:6379/tcp", Spec{"redis", "redis", []uint16{6379}}},
	{"cache=10.0.0.5:6379", Spec{"cache", "10.0.0.5", []uint16{6379}}},
	{"mq=rabbit:5672,15672", Spec{"mq", "rabbit", []uint16{5672, 15672}}},
	{"mq=rabbit:15672,5672,5672", Spec{"mq", "rabbit", []uint16{5672, 15672}}},
	{"cluster=node:7000-7005", Spec{"cluster", "node", []uint16{7000, 7001, 7002, 7003, 7004, 7005}}},
	{"cluster=node:7001-7002/tcp,7000,7002-7003", Spec{"cluster", "node", []uint16{7000, 7001, 7002, 7003}}},
	{"one=node:7000-7000", Spec{"one", "node", []uint16{7000}}},
	{"redis:cache", Spec{Name: "cache", Host: "redis"}},
	{"redis:my-redis.db", Spec{Name: "my-redis.db", Host: "redis"}},
	{"cache=redis", Spec{Name: "cache", Host: "redis"}},
	{"3scale=redis", Spec{Name: "3scale", Host: "redis"}},
	{"[fd00::1]:6379", Spec{"ip-fd00--1", "fd00::1", []uint16{6379}}},
	{"[::1]:6379", Spec{"ip---1", "::1", []uint16{6379}}},
	{"[fe80::1%eth0]:6379", Spec{"ip-fe80--1-eth0", "fe80::1%eth0", []uint16{6379}}},
	{"10.0.0.5:6379", Spec{"ip-10-0-0-5", "10.0.0.5", []uint16{6379}}},
	{"x=[FD00::1]:1,2", Spec{"x", "fd00::1", []uint16{1, 2}}},
	{"redis=[fd00::1]", Spec{Name: "redis", Host: "fd00::1"}},
	{"[fd00::1]:redis", Spec{Name: "redis", Host: "fd00::1"}},
	{"db.example.com.:5432", Spec{"db.example.com", "db.example.com.", []uint16{5432}}},
	{"x=_srv:1-1024", Spec{"x", "_srv", upTo(1024)}},
}

func upTo(n uint16) []uint16 {
	var ports []uint16
	for i := range n {
		ports = append(ports, i+1)
	}
	return ports
}

func TestParseSpec(t *testing.T) {
	for _, tt := range specTests {
		got, err := ParseSpec(tt.word)
		if err != nil || !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%q: got %+v, %v\nwant %+v", tt.word, got, err, tt.want)
		}
		if again, err := ParseSpec(got.String()); err != nil || !reflect.DeepEqual(again, got) {
			t.Errorf("%q: %q parses to %+v, %v", tt.word, got, again, err)
		}
	}
}

func TestParseSpecRefuses(t *testing.T) {
	tests := []struct{ word, problem string }{
		{"", "the host is missing"},
		{":6379", "the host is missing"},
		{"=redis:6379", "the link's name is missing"},
		{"cache=", "the host is missing"},
		{"redis:", `port "": the port is missing`},
		{"redis:0", "a port is a number from 1 to 65535"},
		{"redis:65536", `port "65536": a port is a number`},
		{"redis:06379", "a port is a number from 1 to 65535"},
		{"redis:+1", "a port is a number from 1 to 65535"},
		{"redis:6379a", "a port is a number from 1 to 65535"},
		{"redis:18446744073709551617", "a port is a number from 1 to 65535"}, // 2^64 + 1
		{"redis:cache/tcp", "the link's name holds something else"},
		{"redis:99999999999999999999", "a port is a number from 1 to 65535"},
		{"redis:1,,2", `port "": the port is missing`},
		{"redis:2-1", `port "2-1": the range ends before it begins`},
		{"redis:1-", "the port is missing"},
		{"redis:1-2-3", "a port is a number"},
		{"redis:1-1025", "more than 1024 ports"},
		{"redis:1-1024,2000", "more than 1024 ports"},
		{"redis:1-65535", "more than 1024 ports"},
		{"dns=host:53/udp", "udp is not carried, only tcp is"},
		{"dns=host:53/tcp,53/UDP", "udp is not carried, only tcp is"},
		{"s=host:9/sctp", "sctp is not carried, only tcp is"},
		{"s=host:9/quic", "the protocol is not tcp"},
		{"6379", "the host is a number but no IPv4 address"},
		{"redis=6379", "the host is a number but no IPv4 address"},
		{"10.0.0:6379", "the host is a number but no IPv4 address"},
		{"fd00::1", "an IPv6 address needs brackets"},
		{"x=fd00::1:6379", "an IPv6 address needs brackets"},
		{"redis:cache:6379", "too many colons"},
		{"[fd00::1", "brackets hold something else"},
		{"[10.0.0.5]:1", "brackets hold something else"},
		{"[redis]:1", "brackets hold something else"},
		{"[]:1", "brackets hold something else"},
		{"[fd00::1]6379", "something else than a colon follows the brackets"},
		{"[fe80::1%a/b]:1", "brackets hold something else"},
		{"x=redis:cache", "both NAME= and :ALIAS name the link"},
		{"a b", "the host is neither"},
		{"a b=redis:1", "the link's name holds something else"},
		{"a/b=redis:1", "the link's name holds something else"},
		{"a\n=redis:1", "the link's name holds something else"},
		{"é=redis:1", "does not begin with a letter or digit"},
		{"-a=redis:1", "does not begin with a letter or digit"},
		{"123=redis:1", "the link's name has no letter"},
		{"10.0.0.5=redis:1", "the link's name has no letter"},
		{strings.Repeat("a", 64) + "=redis:1", "longer than 63 bytes"},
		{"x=" + strings.Repeat("a", 254) + ":1", "the host is longer than 253 bytes"},
		{"tcp://redis:6379", "too many colons"},
		{"redis:6379/", "the protocol is not tcp"},
		{"-h:1", "the host is neither"},
	}
	for _, tt := range tests {
		_, err := ParseSpec(tt.word)
		checkSyntax(t, "--link", tt.word, err, tt.problem)
	}
	if _, err := ParseSpec("dns=host:53/udp"); !errors.Is(err, ErrProtocol) {
		t.Errorf("%v does not match ErrProtocol", err)
	}
	if _, err := ParseSpec("dns=host:0"); errors.Is(err, ErrProtocol) {
		t.Errorf("%v matches ErrProtocol", err)
	}
}

// checkSyntax wants what every refused word gets: the word in quotes, the
// problem, the form and an example that parses, and exit code 2.
func checkSyntax(t *testing.T, what, word string, err error, problem string) {
	t.Helper()
	var syntax *SyntaxError
	if !errors.As(err, &syntax) || !errors.Is(err, ErrSyntax) || !errors.Is(err, ErrUsage) {
		t.Errorf("%q: got %v, want a *SyntaxError that matches ErrSyntax and ErrUsage", word, err)
		return
	}
	if syntax.What != what || syntax.Word != word || syntax.Want == "" || syntax.Example == "" {
		t.Errorf("%q: got %+v", word, syntax)
	}
	if !strings.Contains(syntax.Problem.Error(), problem) {
		t.Errorf("%q: got problem %q, want %q", word, syntax.Problem, problem)
	}
}

func TestSyntaxErrorText(t *testing.T) {
	_, err := ParseSpec("redis:0")
	want := `--link "redis:0": port "0": a port is a number from 1 to 65535, without sign or leading zero: ` +
		`expected NAME, [NAME=]HOST[:PORT,PORT-PORT...] with an IPv6 host in brackets, or HOST:ALIAS, for example redis:6379 or cache=10.0.0.5:6379`
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

func TestCheckName(t *testing.T) {
	for _, name := range []string{"redis", "a", "3scale", "My_Redis.db-1", strings.Repeat("a", MaxName)} {
		if err := CheckName(name); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
	for _, name := range []string{"", "6379", "1-2", "10.0.0.5", "a b", "a/b", "a:b", "a=b", "a\x00", "a\x7f", ".a", "_a", "ä", "aä", "*", strings.Repeat("a", MaxName+1)} {
		checkSyntax(t, "link name", name, CheckName(name), "the link's name")
	}
}

func TestFromArgs(t *testing.T) {
	tests := []struct {
		host, port string
		want       Link
	}{
		{"192.168.1.52", "6379", Link{"ip-192-168-1-52", []Port{tcp(6379, "192.168.1.52")}, SourceFlag}},
		{"redis", "6379", Link{"redis", []Port{tcp(6379, "redis")}, SourceFlag}},
		{"fd00::1", "1", Link{"ip-fd00--1", []Port{tcp(1, "fd00::1")}, SourceFlag}},
		{"[fd00::1]", "1", Link{"ip-fd00--1", []Port{tcp(1, "fd00::1")}, SourceFlag}},
	}
	for _, tt := range tests {
		if got, err := FromArgs(tt.host, tt.port); err != nil || !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s %s: got %+v, %v", tt.host, tt.port, got, err)
		}
	}
	for _, args := range [][2]string{{"", "1"}, {"redis", ""}, {"redis", "0"}, {"redis", "x"}, {"a b", "1"}, {"redis:1", "1"}, {"_", "1"}} {
		_, err := FromArgs(args[0], args[1])
		checkSyntax(t, "arguments", args[0]+" "+args[1], err, "")
	}
}

func FuzzParseSpec(f *testing.F) {
	for _, tt := range specTests {
		f.Add(tt.word)
	}
	f.Fuzz(func(t *testing.T, word string) {
		spec, err := ParseSpec(word)
		if err != nil {
			if !errors.Is(err, ErrUsage) || !reflect.DeepEqual(spec, Spec{}) {
				t.Errorf("%+v, %v", spec, err)
			}
			return
		}
		if err := CheckName(spec.Name); err != nil {
			t.Error(err)
		}
		if again, err := ParseSpec(spec.String()); err != nil || !reflect.DeepEqual(again, spec) {
			t.Errorf("%+v: %q parses to %+v, %v", spec, spec, again, err)
		}
		links, _, err := Discover([]string{word}, nil)
		if err != nil {
			if !errors.Is(err, ErrNoPorts) {
				t.Error(err)
			}
			return
		}
		prefix := EnvPrefix(spec.Name) + "_"
		if !strings.Contains(prefix, "_ENV_") && !strings.HasPrefix(prefix, "KUBERNETES_") {
			links[0].Source = SourceEnvironment
			checkReadsBack(t, links)
		}
	})
}
