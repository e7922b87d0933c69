package link

import (
	"errors"
	"strings"
	"testing"
)

var exposeTests = []struct {
	word, canonical string
	want            Expose
}{
	{"6379", "6379", Expose{Port: 6379}},
	{"6379/tcp", "6379", Expose{Port: 6379}},
	{"redis", "redis", Expose{Link: "redis"}},
	{"redis:6379", "redis:6379", Expose{Link: "redis", Port: 6379}},
	{"my-redis.db:6379", "my-redis.db:6379", Expose{Link: "my-redis.db", Port: 6379}},
	{"3scale:80", "3scale:80", Expose{Link: "3scale", Port: 80}},
	{"16379=6379", "16379=6379", Expose{Local: 16379, Port: 6379}},
	{"6379=6379", "6379=6379", Expose{Local: 6379, Port: 6379}},
	{"16379=redis", "16379=redis", Expose{Local: 16379, Link: "redis"}},
	{"16379=redis:6379", "16379=redis:6379", Expose{Local: 16379, Link: "redis", Port: 6379}},
	{"127.0.0.1:16379=6379", "127.0.0.1:16379=6379", Expose{"127.0.0.1", 16379, "", 6379}},
	{"127.0.0.1:26379=bench:16379", "127.0.0.1:26379=bench:16379", Expose{"127.0.0.1", 26379, "bench", 16379}},
	{"0.0.0.0:16379=redis", "0.0.0.0:16379=redis", Expose{"0.0.0.0", 16379, "redis", 0}},
	{"[::1]:16379=redis:6379", "[::1]:16379=redis:6379", Expose{"::1", 16379, "redis", 6379}},
	{"[0::0]:16379=6379", "[::]:16379=6379", Expose{"::", 16379, "", 6379}},
	{"16379:6379", "16379=6379", Expose{Local: 16379, Port: 6379}},
	{"16379:6379/tcp", "16379=6379", Expose{Local: 16379, Port: 6379}},
	{"127.0.0.1:16379:6379", "127.0.0.1:16379=6379", Expose{"127.0.0.1", 16379, "", 6379}},
	{"[::1]:16379:6379", "[::1]:16379=6379", Expose{"::1", 16379, "", 6379}},
}

func TestParseExpose(t *testing.T) {
	for _, tt := range exposeTests {
		got, err := ParseExpose(tt.word)
		if err != nil || got != tt.want {
			t.Errorf("%q: got %+v, %v\nwant %+v", tt.word, got, err, tt.want)
		}
		if got.String() != tt.canonical {
			t.Errorf("%q: canonical form is %q, want %q", tt.word, got, tt.canonical)
		}
		if again, err := ParseExpose(got.String()); err != nil || again != got {
			t.Errorf("%q: %q parses to %+v, %v", tt.word, got, again, err)
		}
	}
}

func TestParseExposeRefuses(t *testing.T) {
	tests := []struct{ word, problem string }{
		{"", "the remote port or link is missing"},
		{"16379=", "the remote port or link is missing"},
		{"=6379", "local port: the port is missing"},
		{":6379", "local port: the port is missing"},
		{"0", "remote port: a port is a number from 1 to 65535"},
		{"65536", "remote port: a port is a number"},
		{"06379", "remote port: a port is a number"},
		{"0=6379", "local port: a port is a number"},
		{"x=6379", "local port: a port is a number"},
		{"70000:6379", "local port: a port is a number"},
		{"redis:", "remote port: the port is missing"},
		{"redis:0", "remote port: a port is a number"},
		{"redis:x", "remote port: a port is a number"},
		{"16379=:6379", "the link's name is missing"},
		{"16379:redis", "joined by =, as 16379=redis"},
		{"16379:", "the remote port or link is missing"},
		{"127.0.0.1:6379", "the local address has no port, write IP:PORT=REMOTE"},
		{"127.0.0.1=redis", "the local address has no port"},
		{"[::1]=redis", "the local address has no port"},
		{"[::1]:6379", "the local address has no port"},
		{"::1=6379", "the local address has no port"},
		{"127.0.0.1::6379", "local port: the port is missing"},
		{"localhost:16379=6379", "the local address is not an IP"},
		{"fd00:0:0:0:0:0:0:1:16379=6379", "the local address is not an IP, with IPv6 in brackets"},
		{"*:16379=6379", "the local address is not an IP"},
		{"[127.0.0.1]:16379=6379", "brackets hold something else"},
		{"[::1:16379=6379", "brackets hold something else"},
		{"[::1]:1:16379=6379", "brackets hold something else"},
		{"[::1]x:16379=6379", "something else than a colon"},
		{"redis:6379:6379", "the local address is not an IP"},
		{"16379:redis:6379", "the local address is not an IP"},
		{"1=2=3", "the link's name"},
		{"7000-7005", "the link's name has no letter"},
		{"7000-7005:7000-7005", "joined by ="},
		{"a b", "the link's name holds something else"},
		{"a/b", "the link's name holds something else"},
		{"53/udp", "udp is not carried, only tcp is"},
		{"1053:53/udp", "udp is not carried, only tcp is"},
		{"dns:9/sctp", "sctp is not carried, only tcp is"},
		{"/tcp", "remote port: the port is missing"},
		{strings.Repeat("a", 64), "longer than 63 bytes"},
	}
	for _, tt := range tests {
		_, err := ParseExpose(tt.word)
		checkSyntax(t, "--expose", tt.word, err, tt.problem)
	}
	if _, err := ParseExpose("53/udp"); !errors.Is(err, ErrProtocol) {
		t.Errorf("%v does not match ErrProtocol", err)
	}
}

func FuzzParseExpose(f *testing.F) {
	for _, tt := range exposeTests {
		f.Add(tt.word)
	}
	f.Fuzz(func(t *testing.T, word string) {
		e, err := ParseExpose(word)
		if err != nil {
			if !errors.Is(err, ErrUsage) || e != (Expose{}) {
				t.Errorf("%+v, %v", e, err)
			}
			return
		}
		if e.Link == "" && e.Port == 0 || e.Host != "" && e.Local == 0 {
			t.Errorf("%q: %+v", word, e)
		}
		if again, err := ParseExpose(e.String()); err != nil || again != e {
			t.Errorf("%+v: %q parses to %+v, %v", e, e, again, err)
		}
	})
}
