//go:build !linux

package main

// keepMemoryPrivate does nothing here: core files are the system's settings'.
func keepMemoryPrivate() error { return nil }
