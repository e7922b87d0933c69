package main

import (
	"context"
	"errors"
	"net"
	"os"
	"syscall"

	"ambassador/certs"
)

// explainAttempt is the line about an attempt to get a session that failed:
// what certs makes of it, and what to do where the network is in the way.
func explainAttempt(err error) string {
	line := certs.Explain(err)
	if advice := networkAdvice(err); advice != "" {
		return line + ": " + advice
	}
	return line
}

// networkAdvice is what to do about a host or network that does not answer, or
// nothing.
func networkAdvice(err error) string {
	var dns *net.DNSError
	var timeout net.Error
	switch {
	case errors.As(err, &dns) && dns.IsNotFound:
		return "check the name"
	case errors.As(err, &dns):
		return "check this host's name servers"
	case errors.Is(err, syscall.ECONNREFUSED):
		return `is "ambassador serve" running there and listening on that port?`
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return "check the address and this host's network"
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded),
		errors.As(err, &timeout) && timeout.Timeout():
		return "check the address and the firewall"
	}
	return ""
}

// inShort is a line about a failed attempt in a few words, where the network is in
// the way.
func inShort(line string, err error) string {
	var dns *net.DNSError
	var timeout net.Error
	switch {
	case errors.As(err, &dns) && dns.IsNotFound:
		return "its name is not known"
	case errors.As(err, &dns):
		return "its name could not be looked up"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused"
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return "no route to it"
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded),
		errors.As(err, &timeout) && timeout.Timeout():
		return "it does not answer"
	}
	return line
}
