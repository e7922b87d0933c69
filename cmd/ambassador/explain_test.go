package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"

	"ambassador/certs"
)

func TestAttemptsThatFailSayWhatToDo(t *testing.T) {
	dial := func(err error) error {
		return fmt.Errorf("attempt: %w", &net.OpError{Op: "dial", Net: "tcp", Err: err})
	}
	call := func(err error) error { return dial(os.NewSyscallError("connect", err)) }
	for name, c := range map[string]struct {
		err  error
		want string // after the error's own text
	}{
		"nobody listens":  {call(syscall.ECONNREFUSED), `: is "ambassador serve" running there and listening on that port?`},
		"no route":        {call(syscall.EHOSTUNREACH), ": check the address and this host's network"},
		"no network":      {call(syscall.ENETUNREACH), ": check the address and this host's network"},
		"no answer":       {call(syscall.ETIMEDOUT), ": check the address and the firewall"},
		"connect timeout": {dial(os.ErrDeadlineExceeded), ": check the address and the firewall"},
		"silence":         {fmt.Errorf("handshake: %w", context.DeadlineExceeded), ": check the address and the firewall"},
		"no such name":    {dial(&net.DNSError{Err: "no such host", Name: "x", IsNotFound: true}), ": check the name"},
		"no name server":  {dial(&net.DNSError{Err: "timeout", Name: "x", IsTimeout: true}), ": check this host's name servers"},
		"something else":  {errors.New("else"), ""},
		"our own file":    {&certs.FileError{File: "cert.pem", Problem: "has expired"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			if got := explainAttempt(c.err); !strings.HasPrefix(got, c.err.Error()) || strings.TrimPrefix(got, c.err.Error()) != c.want {
				t.Errorf("%q, want %q and %q", got, c.err, c.want)
			}
		})
	}
}
