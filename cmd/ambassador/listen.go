package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"syscall"

	"ambassador/server"

	"github.com/spf13/pflag"
	"go.uber.org/zap"
)

// listenFlags say where a provider listens. A new process can take the place of
// an old one without a moment in which nobody listens: both open the port with
// --reuse-port, or a supervisor passes the same socket to both.
type listenFlags struct {
	address *string
	reuse   *bool
}

func addListen(f *pflag.FlagSet) listenFlags {
	return listenFlags{
		address: f.String("listen", ":7000", "`ADDRESS` for clients' sessions: [IP]:PORT; sockets that a supervisor passes (LISTEN_FDS) come first"),
		reuse:   f.Bool("reuse-port", false, "open the port beside another ambassador of this user that has it too (SO_REUSEPORT): start the new one, then end the old one, and no client finds the port closed"),
	}
}

// check finds what is wrong with the flags before anything is opened.
func (f listenFlags) check() error {
	if !isAddress(*f.address) {
		return usage(fmt.Errorf("--listen %q: expected [IP]:PORT, such as :7000", *f.address))
	}
	return nil
}

// isAddress says whether a word is [IP]:PORT, with a port that there can be.
func isAddress(word string) bool {
	_, port, err := net.SplitHostPort(word)
	if err == nil {
		_, err = net.LookupPort("tcp", port)
	}
	return err == nil
}

// shared says whether the sockets may be those of another process as well, which
// this one is to take the place of.
func (f listenFlags) shared(environ []string) bool {
	passed, _ := passedCount(environ, os.Getpid()) // was checked by listeners
	return *f.reuse || passed > 0
}

// listeners are the sockets that a supervisor passed, or else the one of the
// flags. They are opened last: whoever connects is to be served.
func (f listenFlags) listeners(environ []string, log *zap.Logger) ([]net.Listener, error) {
	passed, err := passedListeners(environ, os.Getpid(), listenFDsStart)
	if err != nil || len(passed) > 0 {
		if err == nil {
			log.Info("using the sockets that were passed, not --listen", zap.Int("sockets", len(passed)))
		}
		return passed, err
	}
	lc := net.ListenConfig{KeepAlive: -1} // whoever takes the connections sets their own
	lc.SetMultipathTCP(false)             // TCP_USER_TIMEOUT does not work on MPTCP sockets
	if *f.reuse {
		lc.Control = func(_, _ string, raw syscall.RawConn) error {
			var opt error
			err := raw.Control(func(fd uintptr) { opt = setReusePort(fd) })
			return errors.Join(err, opt)
		}
	}
	l, err := lc.Listen(context.Background(), "tcp", *f.address)
	if err != nil {
		return nil, fmt.Errorf("--listen %s cannot be opened: %w: free it, or choose another", *f.address, err)
	}
	return []net.Listener{l}, nil
}

// listenFDsStart is the first descriptor that is passed (sd_listen_fds(3)).
const listenFDsStart = 3

// maxPassed bounds LISTEN_FDS: what is there beyond the sockets of any provider
// is a mistake.
const maxPassed = 64

// passedListeners are the listening sockets that systemd, or whoever does as it
// does, passed to this process: LISTEN_FDS of them, from descriptor first on, if
// LISTEN_PID is ours (sd_listen_fds(3)). None is no error.
func passedListeners(environ []string, pid int, first uintptr) ([]net.Listener, error) {
	n, err := passedCount(environ, pid)
	if err != nil {
		return nil, err
	}
	var all []net.Listener
	for i := range n {
		l, err := passedListener(first + uintptr(i))
		if err != nil {
			for _, l := range all {
				err = errors.Join(err, l.Close())
			}
			return nil, usage(fmt.Errorf("LISTEN_FDS=%d: descriptor %d: %w: expected listening TCP sockets", n, first+uintptr(i), err))
		}
		all = append(all, l)
	}
	return all, nil
}

// passedCount is the number of sockets passed to this process.
func passedCount(environ []string, pid int) (int, error) {
	count, given := lookup(environ, "LISTEN_FDS")
	of, _ := lookup(environ, "LISTEN_PID")
	if !given || of != strconv.Itoa(pid) {
		return 0, nil // for our parent, who did not clear its environment
	}
	n, err := strconv.Atoi(count)
	if err != nil || n < 0 || n > maxPassed {
		return 0, usage(fmt.Errorf("LISTEN_FDS=%.20q: expected a number of sockets up to %d", count, maxPassed))
	}
	return n, nil
}

func passedListener(fd uintptr) (net.Listener, error) {
	if err := isListening(fd); err != nil {
		return nil, err
	}
	file := os.NewFile(fd, "passed socket")
	l, err := net.FileListener(file) // has a descriptor of its own
	err = errors.Join(err, file.Close())
	if err != nil {
		return nil, err
	}
	if tcp, ok := l.(*net.TCPListener); ok {
		return tcp, nil
	}
	return nil, errors.Join(fmt.Errorf("it is a %s socket", l.Addr().Network()), l.Close())
}

// serveAll accepts on several listeners until the first of them ends, and ends
// the others with it.
func serveAll(s *server.Server, listeners []net.Listener) error {
	ended := make(chan error)
	for _, l := range listeners {
		go func() { ended <- s.Serve(l) }()
	}
	err := <-ended
	if !errors.Is(err, server.ErrClosed) {
		err = errors.Join(err, s.Close())
	}
	for range len(listeners) - 1 {
		if other := <-ended; !errors.Is(other, server.ErrClosed) {
			err = errors.Join(err, other)
		}
	}
	return err
}
