package main

import (
	"errors"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
)

// ownNetwork gives the test a network namespace, whose lo is nobody else's. Its
// thread ends with it.
func ownNetwork(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 || lookup("tc") == "" {
		t.Skip("needs root and tc")
	}
	runtime.LockOSThread()
	if err := syscall.Unshare(syscall.CLONE_NEWNET); err != nil {
		t.Skip("no network namespace: ", err)
	}
	// Until it is up, lo has no discipline at all.
	if out, err := exec.Command("ip", "link", "set", "lo", "up").CombinedOutput(); err != nil {
		t.Fatalf("ip link: %v: %s", err, out)
	}
}

func TestShapeIsTakenAway(t *testing.T) {
	ownNetwork(t)
	if err := canShape(); err != nil {
		t.Fatal(err)
	}
	failed := errors.New("the work failed")
	for range 2 { // the second finds nothing in its way
		err := underShape(12345, func() error {
			all, err := tc("class show dev lo")
			if err != nil || !strings.Contains(all, "rate 200Mbit") {
				t.Errorf("lo is not shaped: %q %v", all, err)
			}
			return failed
		})
		if !errors.Is(err, failed) || strings.Contains(err.Error(), "lo may still") {
			t.Fatal(err)
		}
		if after, err := tc("qdisc show dev lo"); err != nil || !strings.Contains(after, "noqueue") {
			t.Fatalf("lo is still shaped: %q %v", after, err)
		}
	}
}

func TestShapeThatWasLeftIsTakenAway(t *testing.T) {
	ownNetwork(t)
	if _, err := tc("qdisc add dev lo root handle " + shapeHandle + " htb default 1"); err != nil {
		t.Fatal(err)
	}
	if err := canShape(); err != nil {
		t.Fatal(err)
	}
	if err := underShape(12345, func() error { return nil }); err != nil {
		t.Fatal(err)
	}
}

func TestShapeOfSomebodyElseIsLeftAlone(t *testing.T) {
	ownNetwork(t)
	if _, err := tc("qdisc add dev lo root handle 1: htb default 1"); err != nil {
		t.Fatal(err)
	}
	if err := canShape(); err == nil {
		t.Error("a discipline of somebody else is no reason")
	}
	if err := underShape(12345, func() error { t.Error("measured nevertheless"); return nil }); err == nil {
		t.Error("shaping lo does not fail")
	}
	if after, err := tc("qdisc show dev lo"); err != nil || !strings.Contains(after, "htb 1: root") {
		t.Errorf("it is gone: %q %v", after, err)
	}
}
