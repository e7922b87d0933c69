package mux

import (
	"bytes"
	"errors"
	"io"
	"testing"
)

func TestSlowestStreamPaysWhenMemoryIsUsedUp(t *testing.T) {
	shared := new(Memory)
	client, provider := sessionPair(t, Options{SessionMemory: 1600 << 10, Memory: shared})
	live, liveAt := streamPair(t, client, provider)
	// Seven readers that stopped, with a window of 256 KiB each: more than 1600 KiB.
	type end struct{ reader, writer *Stream }
	var stopped []end
	for i := range 7 {
		c, p := streamPair(t, client, provider)
		stopped = append(stopped, end{c, p})
		if _, err := p.Write(make([]byte, initialWindow-1-i)); err != nil { // 1 for the answer
			t.Fatal(err)
		}
	}
	var reset int
	eventually(t, "a stream is reset", func() bool {
		reset = 0
		for _, e := range stopped {
			if _, err := e.writer.Write(nil); e.writer.cut() && err == nil {
				reset++
			}
		}
		return reset > 0
	})
	if reset != 1 {
		t.Errorf("%d streams were reset, 1 was enough", reset)
	}
	for _, e := range stopped {
		if !e.writer.cut() {
			continue
		}
		if _, err := io.ReadAll(e.reader); !errors.Is(err, ErrMemory) {
			t.Errorf("its reader: %v, want ErrMemory", err)
		}
		if _, err := e.writer.Write([]byte("x")); !errors.Is(err, ErrReset) {
			t.Errorf("its writer: %v, want ErrReset", err)
		}
	}
	if used := client.memory.used.Load(); used > 1600<<10 {
		t.Errorf("%d bytes are held, more than the limit", used)
	}
	go liveAt.Write(bytes.Repeat([]byte("x"), 4<<20))
	if _, err := io.ReadFull(live, make([]byte, 4<<20)); err != nil {
		t.Errorf("another stream: %v", err)
	}
	for _, e := range stopped {
		e.reader.Reset("test")
	}
	live.Reset("test")
	eventually(t, "all memory is given back", func() bool {
		return client.memory.used.Load() == 0 && client.memory.grown.Load() == 0
	})
	provider.Close()
	client.Close()
	if used := shared.Used(); used != 0 {
		t.Errorf("%d bytes are still counted", used)
	}
}

func TestManySmallFramesDoNotHoldABufferEach(t *testing.T) {
	client, provider := sessionPair(t, Options{})
	c, p := streamPair(t, client, provider)
	for range 2000 {
		if _, err := p.Write([]byte("0123456789")); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "all of it has arrived", func() bool {
		c.in.mu.Lock()
		defer c.in.mu.Unlock()
		n := 0
		for _, k := range c.in.chunks {
			n += len(k.unread())
		}
		return n == 20001
	})
	c.in.mu.Lock()
	defer c.in.mu.Unlock()
	if c.in.held > 2*20001 {
		t.Errorf("20001 bytes hold %d", c.in.held)
	}
}
