package main

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// command is a process to start.
type command struct {
	argv []string
	env  []string       // beside PATH, HOME and LC_ALL
	home string         // where it runs; if empty, beside its log
	user *account       // who runs it; if nil, who runs us
	end  syscall.Signal // what asks it to end; if 0, it is killed
}

// account is a user of this machine.
type account struct{ uid, gid uint32 }

// program is a command that is nothing but its words.
func program(name string, args ...string) command {
	return command{argv: append([]string{name}, args...)}
}

// endWithin is how long a process has to end when it is asked to.
const endWithin = 10 * time.Second

// process is one that runs, with all that it starts.
type process struct {
	command
	cmd     *exec.Cmd
	log     string // the file with what it prints
	started time.Time
	done    chan struct{} // closed when it has ended
	err     error         // how; after done
}

// start starts a process with its log in dir, in a process group of its own. It
// dies with us, however we end.
func start(dir string, c command) (*process, error) {
	path := lookup(c.argv[0])
	if path == "" {
		return nil, fmt.Errorf("%s: not found", c.argv[0])
	}
	log, err := os.CreateTemp(dir, filepath.Base(path)+"-*.log")
	if err != nil {
		return nil, err
	}
	defer log.Close()
	p := &process{command: c, cmd: exec.Command(path, c.argv[1:]...), log: log.Name(), done: make(chan struct{})}
	p.cmd.Dir, p.cmd.Stdout, p.cmd.Stderr = cmp.Or(c.home, dir), log, log
	p.cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + p.cmd.Dir, "LC_ALL=C"}, c.env...)
	isolate(p.cmd, c.user)
	p.started = time.Now()
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", c.argv[0], err)
	}
	go p.wait()
	return p, nil
}

func (p *process) wait() {
	defer close(p.done)
	p.err = p.cmd.Wait()
}

// died is why a process that is to run does not, with the end of its log.
func (p *process) died() error {
	<-p.done
	text, err := os.ReadFile(p.log)
	if err != nil {
		return err
	}
	if text = bytes.TrimSpace(text); len(text) > 1000 {
		text = text[len(text)-1000:]
	}
	return fmt.Errorf("%s ended: %v: %s", strings.Join(p.argv, " "), p.err, text)
}

// giveUp stops a process that failed us, and adds what it has to say.
func (p *process) giveUp(err error) error { return errors.Join(err, p.stop(), p.died()) }

// stop ends the process and its descendants, those that left its process group
// too, and waits until they are gone.
func (p *process) stop() error {
	family := born(descendants(p.cmd.Process.Pid))
	if p.end != 0 {
		_ = p.cmd.Process.Signal(p.end) // fails if it has ended
		select {
		case <-p.done:
		case <-time.After(endWithin):
		}
	}
	killGroup(p.cmd.Process.Pid)
	over := time.Now().Add(endWithin)
	for pid, since := range family {
		for alive(pid, since) {
			kill(pid)
			if time.Now().After(over) {
				return fmt.Errorf("process %d of %s does not end", pid, p.argv[0])
			}
			time.Sleep(time.Millisecond)
		}
	}
	<-p.done
	return nil
}
