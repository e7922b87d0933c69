package main

import (
	"sync"
	"time"
)

// lastReload is how files were last taken over. It takes no longer to ask than a
// lock, however slow the disk that is read from.
type lastReload struct {
	mu  sync.Mutex
	at  time.Time
	why string
}

func (l *lastReload) set(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.at, l.why = time.Now(), ""
	if err != nil {
		l.why = err.Error()
	}
}

// get is when that was, the zero time if never, and why it failed, if it did.
func (l *lastReload) get() (at time.Time, why string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.at, l.why
}

// renewalStanding is how the renewal of what a CA has stands.
type renewalStanding struct {
	mu   sync.Mutex
	due  time.Time // of the certificate in use
	err  error
	next time.Time // the next attempt after a failure
}

func (s *renewalStanding) set(due time.Time, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.due, s.err, s.next = due, err, time.Time{}
	if err != nil {
		s.next = time.Now().Add(maintainEvery)
	}
}

func (s *renewalStanding) get() (due, next time.Time, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.due, s.next, s.err
}
