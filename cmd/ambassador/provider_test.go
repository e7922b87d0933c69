package main

import (
	"errors"
	"fmt"
	"net"
	"testing"
	"time"

	"ambassador/certs"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

// Who is kept waiting at the door shows in the log, and does not fill it.
func TestAskersTurnedAwayAreTold(t *testing.T) {
	core, logs := observer.New(zap.DebugLevel)
	r := &refusals{log: zap.New(core)}
	from := &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 4000}
	busy := fmt.Errorf("%w: from 192.0.2.1", certs.ErrBusy)
	now := time.Now()
	for i := range 100 {
		r.tell(from, busy, now.Add(time.Duration(i)*time.Second/2))
	}
	if logs.Len() != 1 {
		t.Fatalf("%d lines in a minute, want 1", logs.Len())
	}
	r.tell(from, busy, now.Add(tellBusyEvery))
	all := logs.FilterLevelExact(zap.WarnLevel).All()
	if len(all) != 2 || all[1].ContextMap()["turned_away"] != int64(100) || all[1].ContextMap()["client_addr"] != from.String() {
		t.Errorf("%v, want a second line about 100", all)
	}
	r.tell(from, certs.ErrRequest, now)
	if logs.Len() != 2 {
		t.Error("rubbish is worth a line")
	}
	r.tell(from, errors.Join(certs.ErrInvitation), now)
	if logs.Len() != 3 {
		t.Error("a refused token is not told")
	}
}
