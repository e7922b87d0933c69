//go:build !linux

package main

import "errors"

// setReusePort: elsewhere the option is missing, or does not spread connections.
func setReusePort(uintptr) error { return errors.New("--reuse-port is for Linux") }

func isListening(uintptr) error { return errors.New("sockets are passed on Linux only") }
