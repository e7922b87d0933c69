package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"time"
)

// shared memory is a directory that can be written to where nothing else can, as in
// a container with a read-only file system (shm_overview(7)). It is a variable for
// tests.
var sharedMemory = "/dev/shm"

// fallbackDir is where a control socket goes that cannot be made in a directory:
// one in shared memory of this user alone, and for that directory alone. It is empty
// where there is none. It is not made here, and not trusted before ownDir says so.
func fallbackDir(instead string) string {
	if runtime.GOOS != "linux" {
		return ""
	}
	if abs, err := filepath.Abs(instead); err == nil {
		instead = abs
	}
	sum := sha256.Sum256([]byte(instead))
	return filepath.Join(userMemory(), hex.EncodeToString(sum[:4]))
}

func userMemory() string {
	return filepath.Join(sharedMemory, fmt.Sprintf("ambassador-%d", os.Geteuid()))
}

// ownMemory makes this user's directory in shared memory, and says whether it is
// nobody else's: everybody can write there.
func ownMemory() error {
	dir := userMemory()
	if err := os.Mkdir(dir, 0o700); err != nil && !os.IsExist(err) {
		return err
	}
	if err := ownDir(dir); err != nil {
		return err
	}
	sweepMemory(dir, time.Now().Add(-time.Minute))
	return nil
}

// sweepMemory removes what processes that were killed have left there: it is memory,
// and nobody else tidies it. What is younger may be about to be used.
func sweepMemory(dir string, before time.Time) {
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		sub := filepath.Join(dir, e.Name())
		info, err := os.Lstat(sub)
		if err != nil || info.ModTime().After(before) {
			continue
		}
		for _, service := range services {
			path := filepath.Join(sub, service+socketSuffix)
			if err := answers(context.Background(), path); errors.Is(err, syscall.ECONNREFUSED) {
				_ = os.Remove(path)
			}
		}
		_ = os.Remove(sub) // fails where something is left
	}
}

// ownDir says whether a directory is this user's, and closed to others.
func ownDir(dir string) error {
	info, err := os.Lstat(dir)
	switch {
	case err != nil:
		return err
	case !info.IsDir() || info.Mode().Perm()&0o077 != 0 || !ownedByUs(info):
		return fmt.Errorf("%s is not a directory of this user alone", dir)
	}
	return nil
}

// tidyMemory removes a socket's directory in shared memory when it is empty.
func tidyMemory(dir string) {
	if filepath.Dir(dir) == userMemory() {
		_ = os.Remove(dir)
	}
}
