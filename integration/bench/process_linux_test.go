package main

import (
	"strings"
	"testing"
	"time"
)

// shell starts a shell and waits until its script says "ready".
func shell(t *testing.T, script string) *process {
	t.Helper()
	p, err := start(t.TempDir(), program("sh", "-c", script))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.stop(); err != nil {
			t.Error(err)
		}
	})
	for over := time.Now().Add(endWithin); !strings.Contains(text(p.log), "ready\n"); time.Sleep(time.Millisecond) {
		if time.Now().After(over) {
			t.Fatal("the shell is not ready: ", text(p.log))
		}
	}
	return p
}

func TestStopEndsChildrenThatLeftTheGroup(t *testing.T) {
	if lookup("setsid") == "" {
		t.Skip("no setsid: install util-linux")
	}
	p := shell(t, "setsid sh -c 'echo ready; sleep 1000' & wait")
	family := born(descendants(p.cmd.Process.Pid))
	if len(family) < 2 {
		t.Fatalf("the shell has no children: %v", family)
	}
	if err := p.stop(); err != nil {
		t.Fatal(err)
	}
	for pid, since := range family {
		if alive(pid, since) {
			t.Errorf("process %d still runs", pid)
		}
	}
}

func TestUsageIsThatOfChildrenToo(t *testing.T) {
	// One child has ended and been waited for, the other still runs; the shell
	// itself does next to nothing.
	const busy = "i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done"
	p := shell(t, "("+busy+"); ("+busy+"; echo ready; sleep 1000) & wait")
	u, err := usageOf(p.cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	self, err := readStat(p.cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	if self.cpu < 5*clockTick || u.cpu < self.cpu+5*clockTick {
		t.Errorf("CPU time is %v in all, and %v of the shell with the child that it waited for", u.cpu, self.cpu)
	}
	if own, err := resident(p.cmd.Process.Pid); err != nil || own == 0 || u.memory <= own {
		t.Errorf("memory is %d in all, and %d of the shell (%v)", u.memory, own, err)
	}
}

func TestProcessThatEndsSaysWhy(t *testing.T) {
	p, err := start(t.TempDir(), program("sh", "-c", "echo no such port >&2; exit 3"))
	if err != nil {
		t.Fatal(err)
	}
	if err := p.died(); !strings.Contains(err.Error(), "exit status 3") || !strings.Contains(err.Error(), "no such port") {
		t.Errorf("says %v", err)
	}
}
