//go:build !linux

package main

// freeSpace is not known here.
func freeSpace(string) (space, error) { return space{}, nil }

// descriptorLimit is not known here.
func descriptorLimit() (uint64, bool) { return 0, false }

// descriptorLimitOf is not known here.
func descriptorLimitOf(int) (uint64, bool) { return 0, false }
