package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// terminal is a pseudoterminal (pts(4)) and what was written to it.
type terminal struct {
	*os.File // the side that a program has
	master   *os.File

	mu   sync.Mutex
	seen strings.Builder
}

func openTerminal(t *testing.T, width, height int) *terminal {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no pseudoterminals here: %v", err)
	}
	fd := int(master.Fd())
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		err = unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Col: uint16(width), Row: uint16(height)})
	}
	if err != nil {
		t.Fatal(err)
	}
	slave, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	term := &terminal{File: slave, master: master}
	var reading sync.WaitGroup
	reading.Go(func() {
		b := make([]byte, 4096)
		for {
			n, err := master.Read(b)
			term.mu.Lock()
			term.seen.Write(b[:n])
			term.mu.Unlock()
			if err != nil {
				return // EIO once nobody has the other side open
			}
		}
	})
	t.Cleanup(func() {
		slave.Close()
		reading.Wait()
		master.Close()
	})
	return term
}

func (term *terminal) text() string {
	term.mu.Lock()
	defer term.mu.Unlock()
	return term.seen.String()
}

// shows waits until the text is there.
func (term *terminal) shows(t *testing.T, text string) {
	t.Helper()
	for over := time.Now().Add(patience); !strings.Contains(term.text(), text); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(over) {
			t.Fatalf("no %q in %q", text, term.text())
		}
	}
}

// A terminal is drawn over in one write: it is never empty in between. What is too
// wide or too long is cut.
func TestWatchRedrawsATerminal(t *testing.T) {
	term := openTerminal(t, 80, 10)
	env := environment{stdout: term.File, stderr: io.Discard}
	pause := "100ms"
	times := 0
	twice := make(chan struct{})
	write := func(_ context.Context, w io.Writer) error {
		times++
		if times == 3 {
			close(twice)
		}
		for i := range 20 {
			fmt.Fprintf(w, "line %d of %d %s\n", i, times, strings.Repeat("x", 100))
		}
		return nil
	}
	go func() {
		<-twice
		hangUpWith(t, syscall.SIGINT) // Ctrl-C
	}()
	cmd := newStatus(env)
	cmd.SetContext(t.Context())
	if err := (watching{&pause}).show(cmd, env, write); err != nil {
		t.Fatal(err)
	}
	term.shows(t, "line 0 of 3")
	text := term.text()
	if strings.Contains(text, "\x1b[2J") {
		t.Error("the screen is cleared: it flickers")
	}
	if n := strings.Count(text, "\x1b[H"); n != times {
		t.Errorf("%d times from the corner, want %d", n, times)
	}
	term.shows(t, "... and 12 more lines")
	for _, line := range strings.Split(text, "\r\n") {
		if line = strings.NewReplacer("\x1b[H", "", "\x1b[K", "", "\x1b[J", "").Replace(line); len(line) > 80 {
			t.Errorf("%d columns: %q", len(line), line)
		}
	}
}

func hangUpWith(t *testing.T, sig syscall.Signal) {
	t.Helper()
	if err := syscall.Kill(os.Getpid(), sig); err != nil {
		t.Error(err)
	}
}

// Who waits at a terminal is told what for, and a log is not.
func TestProgressIsForTerminals(t *testing.T) {
	if newProgress(io.Discard) != nil {
		t.Error("a log is told")
	}
	term := openTerminal(t, 80, 24)
	p := newProgress(term.File)
	var asked atomic.Int32
	stop := p.follow(func() string {
		asked.Add(1)
		return "no session with big-server:7000: connection refused"
	})
	term.shows(t, "ambassador: no session with big-server:7000: connection refused (0s)")
	for seen := asked.Load(); asked.Load() < seen+3; {
		time.Sleep(5 * time.Millisecond)
	}
	stop()
	if n := strings.Count(term.text(), "ambassador:"); n != 1 {
		t.Errorf("the same is said %d times", n)
	}
	// What goes at once is not told of.
	p.end()
	p.say("a moment")
	p.end()
	if strings.Contains(term.text(), "a moment") {
		t.Error("a moment is told of")
	}
}

func TestColoursAreForTerminals(t *testing.T) {
	term := openTerminal(t, 80, 24)
	for name, c := range map[string]struct {
		out     io.Writer
		environ []string
		on      bool
	}{
		"terminal":     {term.File, nil, true},
		"pipe":         {io.Discard, nil, false},
		"NO_COLOR":     {term.File, []string{"NO_COLOR=1"}, false},
		"dumb-display": {term.File, []string{"TERM=dumb"}, false},
	} {
		if got := paintOf(environment{stdout: c.out, environ: c.environ}).on; got != c.on {
			t.Errorf("%s: colours %v, want %v", name, got, c.on)
		}
	}
}
