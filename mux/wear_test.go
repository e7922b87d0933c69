package mux

import (
	"io"
	"testing"
)

func TestWornAfterSoManyRecords(t *testing.T) {
	const records = 100
	client, provider := sessionPair(t, Options{WornAfter: records})
	c, p := streamPair(t, client, provider)
	received := make(chan struct{})
	go func() {
		defer close(received)
		io.Copy(io.Discard, p)
	}()
	worn := make(chan struct{})
	client.AfterWorn(func() { close(worn) })
	if _, err := c.Write(make([]byte, records/2*maxRecord)); err != nil {
		t.Fatal(err)
	}
	select {
	case <-worn:
		t.Fatal("worn after half of the records")
	default:
	}
	if _, err := c.Write(make([]byte, records*maxRecord)); err != nil {
		t.Fatal(err)
	}
	within(t, patience, "the client's keys wear", func() { <-worn })
	again := make(chan struct{})
	client.AfterWorn(func() { close(again) })
	within(t, patience, "who asks late hears it too", func() { <-again })
	c.CloseWrite()
	<-received
	// The provider has hardly sent: its keys are as new.
	provider.AfterWorn(func() { t.Error("the provider's keys are worn too") })
}
