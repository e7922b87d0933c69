package live

import (
	"context"
	"errors"
	"net"
	"os"
	"syscall"
)

// DialReason is why a backend was not reached, by the error of dialling it.
func DialReason(err error) Reason {
	var dns *net.DNSError
	switch {
	case err == nil:
		return Running
	case errors.As(err, &dns):
		return BackendUnknown
	case errors.Is(err, syscall.ECONNREFUSED):
		return BackendRefused
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return BackendUnreachable
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded), errors.Is(err, syscall.ETIMEDOUT):
		return BackendTimeout
	}
	return BackendFailed
}
