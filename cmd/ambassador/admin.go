package main

import (
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"

	"ambassador/internal/admin"

	"github.com/spf13/pflag"
	"go.uber.org/zap"
)

// adminFlags say where a running ambassador can be seen and steered.
type adminFlags struct {
	flags     *pflag.FlagSet
	socket    *string
	metrics   *string
	dashboard dashboardFlags
}

func addAdmin(f *pflag.FlagSet) adminFlags {
	return adminFlags{flags: f, socket: addControlSocket(f, "off for none"), metrics: addMetricsAddr(f), dashboard: addDashboard(f)}
}

// check finds wrong usage before anything is opened.
func (f adminFlags) check() error {
	if err := f.dashboard.check(); err != nil {
		return usage(err)
	}
	if *f.socket != "" && !isOff(f.flags, *f.socket) {
		if err := admin.CheckPath(*f.socket); err != nil {
			return usage(err)
		}
	}
	return usage(checkMetricsAddr(*f.metrics))
}

// surfaces is what a command says of itself to those who look.
type surfaces struct {
	service  string // its name, as that of its control socket
	stateDir string // as given
	takeOver bool   // it may take the place of another process
}

// shown is all that shows an ambassador. It goes on until stop.
type shown struct {
	parts sync.WaitGroup
	stops []func()
}

func (s *shown) stop() {
	for _, stop := range s.stops {
		stop()
	}
	s.parts.Wait()
}

// show opens what an ambassador is seen by. The control socket does without where
// it cannot be had, but where it was asked for: the tunnel is what matters.
func (f adminFlags) show(a *admin.Ambassador, who surfaces, environ []string, log *zap.Logger) (*shown, error) {
	s := &shown{}
	page, err := f.dashboard.listen()
	if err != nil {
		return nil, err
	}
	if page != nil {
		s.dashboard(f.dashboard, a, page, log)
	}
	l, err := f.control(who, environ, log)
	if err != nil {
		if f.flags.Changed("control-socket") {
			s.stop()
			return nil, err
		}
		log.Warn("no control socket: status and the other commands will not find this ambassador", zap.Error(err))
	}
	if l != nil {
		c := &admin.Control{Ambassador: a, More: map[string]http.Handler{"/debug/pprof/": admin.Profiles()}, Logger: log}
		s.run(c.Serve, c.Close, l, log)
		s.stops = append(s.stops, func() { tidyMemory(filepath.Dir(l.Addr().String())) })
		log.Info("control socket open", zap.Stringer("path", l.Addr()))
	}
	if err := s.serveMetrics(*f.metrics, a, log); err != nil {
		s.stop()
		return nil, err
	}
	return s, nil
}

// run serves something on a listener until stop.
func (s *shown) run(serve func(net.Listener) error, end func() error, l net.Listener, log *zap.Logger) {
	s.parts.Go(func() {
		if err := serve(l); err != nil {
			log.Error("an operator's view has ended", zap.Stringer("address", l.Addr()), zap.Error(err))
		}
	})
	s.stops = append(s.stops, func() {
		if err := errors.Join(end(), ignoreClosedListener(l.Close())); err != nil {
			log.Warn("an operator's view did not end well", zap.Stringer("address", l.Addr()), zap.Error(err))
		}
	})
}

func ignoreClosedListener(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// control opens the control socket, nil if it is not wanted.
func (f adminFlags) control(who surfaces, environ []string, log *zap.Logger) (net.Listener, error) {
	if isOff(f.flags, *f.socket) {
		return nil, nil
	}
	if *f.socket != "" {
		return listenControl(*f.socket, who.takeOver)
	}
	dir, err := socketDir(who.stateDir, environ)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		// What is in the way is said of the socket: it may be had elsewhere.
		log.Debug("no directory for the control socket", zap.Error(err))
	}
	l, err := listenControl(filepath.Join(dir, who.service+socketSuffix), who.takeOver)
	if instead := fallbackDir(dir); err != nil && !errors.Is(err, admin.ErrTaken) && instead != "" && ownMemory() == nil {
		log.Debug("the control socket is elsewhere", zap.String("instead_of", dir), zap.Error(err))
		return listenControl(filepath.Join(instead, who.service+socketSuffix), who.takeOver)
	}
	return l, err
}

func listenControl(path string, takeOver bool) (net.Listener, error) {
	l, err := admin.Listen(path, takeOver)
	if errors.Is(err, admin.ErrTaken) {
		err = &explained{err.Error() + `: give this one a control socket of its own with --control-socket PATH, or none with "off"`, err}
	}
	return l, err
}
