package link

import (
	"errors"
	"testing"
)

func FuzzFromArgs(f *testing.F) {
	f.Add("192.168.1.52", "6379")
	f.Add("[::1]", "1")
	f.Add("fe80::1%eth0", "65535")
	f.Add("redis.example", "0")
	f.Add("", "")
	f.Fuzz(func(t *testing.T, host, port string) {
		l, err := FromArgs(host, port)
		if err != nil {
			var syntax *SyntaxError
			if !errors.As(err, &syntax) || !errors.Is(err, ErrUsage) {
				t.Fatalf("%q %q: %v, want a *SyntaxError", host, port, err)
			}
			return
		}
		if err := CheckName(l.Name); err != nil {
			t.Error(err)
		}
		if len(l.Ports) != 1 || l.Ports[0].Number == 0 || l.Ports[0].Target.Host == "" || l.Ports[0].Target.Port != l.Ports[0].Number {
			t.Errorf("%q %q became %+v", host, port, l)
		}
		again, err := FromArgs(l.Ports[0].Target.Host, port)
		if err != nil || again.Ports[0] != l.Ports[0] {
			t.Errorf("%+v is read again as %+v (%v)", l, again, err)
		}
	})
}
