package mux

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"
)

// A session that takes nothing keeps nobody longer than they may wait.
func TestOpenOnAStuckSessionEndsWithItsContext(t *testing.T) {
	a, b := tcpPair(t)
	conn := &stuckConn{Conn: a, closed: make(chan struct{})}
	client, _ := sessionsOver(t, conn, b, Options{})
	conn.stuck.Store(true)
	var opening sync.WaitGroup
	defer opening.Wait()
	defer client.Close()
	o := Open{Link: "redis", Port: 6379}
	opening.Go(func() { _, _ = client.Open(o, nil) }) // finds nobody writing, and writes
	eventually(t, "a write is under way", func() bool {
		client.out.mu.Lock()
		defer client.out.mu.Unlock()
		return client.out.writing
	})
	const enough = 4 * urgentLimit / smallWrite // opens to fill the queue twice
	for i := 0; ; i++ {
		began := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		st, err := client.OpenContext(ctx, o, make([]byte, smallWrite/2))
		cancel()
		if err != nil {
			if took := time.Since(began); !errors.Is(err, context.DeadlineExceeded) || took > patience/2 {
				t.Errorf("%v after %v, want the context's error", err, took)
			}
			break
		}
		defer st.Reset("test")
		if i > enough {
			t.Fatal("the queue takes everything")
		}
	}
}
