//go:build !linux

package certs

// crashChild is for Linux, whose ptrace(2) the test of crashes needs.
func crashChild() bool { return false }
