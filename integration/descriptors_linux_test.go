package integration

import (
	"fmt"
	"math"
	"net"
	"os"
	"strconv"
	"testing"
	"time"
)

// TestDescriptorsRunOut is EMFILE in either process: it stays alive and idle, what
// runs goes on, and who waits is served when descriptors come free.
func TestDescriptorsRunOut(t *testing.T) {
	for _, side := range []string{"client", "provider", "forward"} {
		t.Run(side, func(t *testing.T) {
			echo := newEcho(t)
			var poor *process
			var entry string
			if side == "forward" {
				port := freePort(t)
				poor = run(t, []string{"BACKEND_PORT_" + port + "_TCP=tcp://" + echo}, "forward", "--hold", "20s")
				poor.waitLog("forwarding")
				entry = "127.0.0.1:" + port
			} else {
				p := startPair(t, echo, pairOptions{connect: []string{"--hold", "20s"}})
				poor, entry = map[string]*process{"client": p.client, "provider": p.provider}[side], p.entry
			}
			stays := startSteady(t, entry)
			within(t, patience, func() bool { return stays.said.Load() > 10 })
			poor.limitDescriptors(poor.descriptors() + 10)
			const crowd = 60
			var held []net.Conn
			served := make(chan error, crowd)
			for range crowd {
				c, err := net.DialTimeout("tcp", entry, patience)
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				held = append(held, c)
				go func() {
					c.SetDeadline(time.Now().Add(patience))
					_, err := c.Write([]byte("x"))
					if err == nil {
						_, err = c.Read(make([]byte, 1))
					}
					served <- err
				}()
			}
			got := 0
			for over := time.After(patience); got == 0; {
				select {
				case err := <-served:
					if err != nil {
						t.Fatal("the first of the crowd: ", err)
					}
					got++
				case <-over:
					t.Fatal("nobody is served")
				}
			}
			used, said := poor.cpu(), stays.said.Load()
			const watch = 3 * time.Second
			<-time.After(watch) // what is measured is this time
			spent := poor.cpu() - used
			talk := stays.said.Load() - said
			t.Logf("%v of processor time in %v beside %d words", spent, watch, talk)
			if limit := watch / 20 * idleFactor; spent > limit {
				t.Errorf("%v of processor time in %v, more than %v", spent, watch, limit)
			}
			if talk < 20 {
				t.Errorf("%d words in %v from a live stream", talk, watch)
			}
			for len(served) > 0 {
				if err := <-served; err != nil {
					t.Error("one of the crowd:", err)
				}
				got++
			}
			if got == crowd {
				t.Fatal("all were served: descriptors have not run out")
			}
			if n := poor.count("accept failed, trying again"); side != "provider" && n == 0 {
				t.Error("the log does not say that accepting failed")
			}
			poor.limitDescriptors(20000)
			for over := time.After(2 * time.Second * idleFactor); got < crowd; got++ {
				select {
				case err := <-served:
					if err != nil {
						t.Error("one that had to wait:", err)
					}
				case <-over:
					t.Fatalf("%d of %d are served", got, crowd)
				}
			}
			if err := stays.finish(); err != nil {
				t.Error("the consumer that was there before:", err)
			}
			for _, c := range held {
				c.Close()
			}
			if err := visit(entry, random(1000)); err != nil {
				t.Error("a consumer afterwards:", err)
			}
		})
	}
}

// A client that uses up the provider's descriptors keeps its record from being
// read, and is out in time all the same: the end of its session frees them.
func TestRevokeOfOneThatUsesUpDescriptors(t *testing.T) {
	j := join(t)
	consumer, service := j.b.dial(t, j.entry)
	exchange(t, consumer, service)
	j.provider.limitDescriptors(j.provider.fewest())
	lost := drink(consumer, make(chan struct{}))
	began := time.Now()
	j.on(t, "revoke", "tester")
	select {
	case err := <-lost:
		if !isReset(err) {
			t.Errorf("%v, want a reset", err)
		}
		t.Logf("reset after %v", time.Since(began))
	case <-time.After(5*time.Second - time.Since(began)):
		t.Error("not reset within 5 s")
	}
	j.provider.waitLog("grants could not be read for all sessions, will try again; a session that cannot be judged for 3s ends", "too many open files")
	j.provider.waitLog("client refused", "revoked: spiffe://ambassador/client/tester")
}

// fewest is the limit at which a process can open nothing more: the lowest number
// that it does not use, which is free again when what it has open for a moment, such
// as a file that it reads, is closed.
func (p *process) fewest() int {
	p.t.Helper()
	least := math.MaxInt
	for range 50 {
		entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", p.cmd.Process.Pid))
		if err != nil {
			p.t.Fatal(err)
		}
		used := make(map[string]bool)
		for _, e := range entries {
			used[e.Name()] = true
		}
		free := 0
		for used[strconv.Itoa(free)] {
			free++
		}
		least = min(least, free)
		<-time.After(5 * time.Millisecond) // nothing tells when a file is closed
	}
	return least
}
