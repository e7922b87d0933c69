package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"go.uber.org/zap"
)

// service is what serve, connect and forward run: shaped like http.Server.
type service struct {
	announce func()       // said when signals are minded, before run; may be nil
	run      func() error // blocks; closed after Shutdown or Close
	shutdown func(context.Context) error
	close    func() error
	closed   error // what run returns then
}

// endWithin is what a second signal leaves for resets and a last line. Whatever
// is waited for then, a disk or a lock, is not waited for any longer.
const endWithin = time.Second

// supervise runs a service until it fails, a signal ends it or an operator has it
// drained. SIGTERM and SIGINT drain it, a second one ends it at once. SIGHUP
// reloads.
func supervise(s service, steer *steering, drain time.Duration, log *zap.Logger) error {
	signals := endingSignals(log)
	defer steer.follow()()
	defer steer.progress.follow(steer.waiting)()
	if s.announce != nil {
		s.announce()
	}
	ended := make(chan error, 1)
	go func() { ended <- s.run() }()
	select {
	case err := <-ended:
		return errors.Join(err, s.close())
	case sig := <-signals:
		log.Info("draining: no new connections, waiting for the running ones", zap.Stringer("signal", sig), zap.Duration("drain_timeout", drain))
	case <-steer.drains:
		log.Info("draining: no new connections, waiting for the running ones", zap.String("reason", "an operator asked for it"), zap.Duration("drain_timeout", drain))
	}
	steer.begun()
	err := drainService(s, drain, signals)
	if ran := <-ended; !errors.Is(ran, s.closed) {
		err = errors.Join(err, ran)
	}
	if err == nil {
		log.Info("drained")
	}
	return err
}

// endingSignals brings the first two signals that are to end the process. It is
// never stopped: the second one counts until the process has ended.
func endingSignals(log *zap.Logger) <-chan os.Signal {
	got := make(chan os.Signal, 2)
	signal.Notify(got, syscall.SIGTERM, os.Interrupt)
	ending := make(chan os.Signal, 2)
	go func() {
		ending <- <-got
		ending <- <-got
		time.Sleep(endWithin)
		log.Error("ended by a second signal, while something did not end")
		os.Exit(exitFailed)
	}()
	return ending
}

func drainService(s service, drain time.Duration, signals <-chan os.Signal) error {
	ctx, cancel := context.WithTimeout(context.Background(), drain)
	defer cancel()
	drained := make(chan error, 1)
	go func() { drained <- s.shutdown(ctx) }()
	var err error
	select {
	case err = <-drained:
	case sig := <-signals:
		cancel() // shutdown closes what is left
		return errors.Join(&exitError{exitFailed, fmt.Errorf("ended by a second signal (%v) before all connections were done", sig)}, ignoreContext(<-drained))
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return &exitError{exitDrain, fmt.Errorf("drain timed out after %v: the connections left were reset", drain)}
	}
	return err
}

func ignoreContext(err error) error {
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}
