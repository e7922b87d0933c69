package mux

import (
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
)

// message is the size in bytes of a small request or reply.
const message = 64

// share has one goroutine for each stream do b.N things between them, and waits
// until all are done.
func share(b *testing.B, streams []*Stream, do func(*Stream) error) {
	b.Helper()
	var left atomic.Int64
	left.Store(int64(b.N))
	var workers sync.WaitGroup
	for _, st := range streams {
		workers.Go(func() {
			for left.Add(-1) >= 0 {
				if err := do(st); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	workers.Wait()
}

// connected are n streams, whose provider's ends serve gets.
func connected(b *testing.B, client, provider *Session, n int, serve func(*Stream)) []*Stream {
	b.Helper()
	var all []*Stream
	var serving sync.WaitGroup
	for range n {
		c, p := streamPair(b, client, provider)
		all = append(all, c)
		serving.Go(func() { serve(p) })
	}
	b.Cleanup(func() {
		for _, st := range all {
			st.Reset("the benchmark is over")
		}
		serving.Wait()
	})
	return all
}

// echo sends back what comes, until the stream ends.
func echo(st *Stream) {
	for buf := make([]byte, message); ; {
		n, err := st.Read(buf)
		if err != nil {
			return
		}
		if _, err := st.Write(buf[:n]); err != nil {
			return
		}
	}
}

// BenchmarkEcho has a small message go there and back on each of some streams at
// a time: chatter of one consumer, and of many.
func BenchmarkEcho(b *testing.B) {
	for _, n := range []int{1, 50} {
		b.Run(fmt.Sprintf("streams-%d", n), func(b *testing.B) {
			client, provider := sessionPair(b, Options{})
			streams := connected(b, client, provider, n, echo)
			buffers := map[*Stream][]byte{}
			for _, st := range streams {
				buffers[st] = make([]byte, message)
			}
			b.ReportAllocs()
			b.ResetTimer()
			share(b, streams, func(st *Stream) error {
				buf := buffers[st]
				if _, err := st.Write(buf); err != nil {
					return err
				}
				_, err := io.ReadFull(st, buf)
				return err
			})
		})
	}
}

// BenchmarkBulk has blocks go one way on some streams at a time. It ends when the
// last byte has been read.
func BenchmarkBulk(b *testing.B) {
	const block = 256 << 10
	for _, n := range []int{1, 8} {
		b.Run(fmt.Sprintf("streams-%d", n), func(b *testing.B) {
			client, provider := sessionPair(b, Options{})
			var got atomic.Int64
			streams := connected(b, client, provider, n, func(st *Stream) { drain(st, &got) })
			blocks := make([]byte, block)
			b.SetBytes(block)
			b.ReportAllocs()
			b.ResetTimer()
			share(b, streams, func(st *Stream) error {
				_, err := st.Write(blocks)
				return err
			})
			eventually(b, "every byte is read", func() bool { return got.Load() == int64(b.N)*block })
		})
	}
}

// drain counts what comes.
func drain(st *Stream, got *atomic.Int64) {
	for buf := make([]byte, 128<<10); ; {
		n, err := st.Read(buf)
		got.Add(int64(n))
		if err != nil {
			return
		}
	}
}

// BenchmarkOpen has a stream opened, with one small request and its reply, and
// ended at both ends; one after the other, and many at a time.
func BenchmarkOpen(b *testing.B) {
	for _, n := range []int{1, 50} {
		b.Run(fmt.Sprintf("consumers-%d", n), func(b *testing.B) {
			client, provider := sessionPair(b, Options{})
			var serving sync.WaitGroup
			serving.Go(func() { serveOnce(b, provider, &serving) })
			b.Cleanup(func() { provider.Close(); serving.Wait() })
			b.ReportAllocs()
			b.ResetTimer()
			share(b, make([]*Stream, n), func(*Stream) error { return ask(client) })
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "opens/s")
		})
	}
}

// ask opens a stream for one request, and reads the reply to its end.
func ask(client *Session) error {
	st, err := client.Open(Open{Link: "redis", Port: 6379, Consumer: "127.0.0.1:1"}, make([]byte, message))
	if err != nil {
		return err
	}
	defer st.Close()
	var buf [message]byte
	if _, err := io.ReadFull(st, buf[:]); err != nil {
		return err
	}
	if err := st.CloseWrite(); err != nil {
		return err
	}
	if n, err := st.Read(buf[:]); err != io.EOF {
		return fmt.Errorf("%d bytes and %w behind the reply, expected its end", n, err)
	}
	return nil
}

// serveOnce answers one request on each stream, until the session ends.
func serveOnce(b *testing.B, provider *Session, serving *sync.WaitGroup) {
	for {
		st, err := provider.Accept()
		if err != nil {
			return
		}
		serving.Go(func() {
			defer st.Close()
			if err := answer(st); err != nil {
				b.Error("provider:", err)
			}
		})
	}
}

func answer(st *Stream) error {
	if _, err := st.ReadOpen(patience); err != nil {
		return err
	}
	st.Connected()
	var buf [message]byte
	if _, err := io.ReadFull(st, buf[:]); err != nil {
		return err
	}
	if _, err := st.Write(buf[:]); err != nil {
		return err
	}
	if _, err := st.Read(buf[:]); err != io.EOF {
		return fmt.Errorf("%w behind the request, expected its end", err)
	}
	return st.CloseWrite()
}

// counted is a connection that counts its writes: system calls, since wire writes
// whole batches.
type counted struct {
	*net.TCPConn
	writes, bytes atomic.Int64
}

func (c *counted) Write(p []byte) (int, error) {
	c.writes.Add(1)
	c.bytes.Add(int64(len(p)))
	return c.TCPConn.Write(p)
}

// BenchmarkGather has many streams write small messages that nobody answers: how
// many of them share a system call, and a TLS record.
func BenchmarkGather(b *testing.B) {
	for _, n := range []int{1, 8, 50} {
		b.Run(fmt.Sprintf("streams-%d", n), func(b *testing.B) {
			dialled, accepted := tcpPair(b)
			c := &counted{TCPConn: dialled.(*net.TCPConn)}
			client, provider := sessionsOver(b, c, accepted, Options{})
			var got atomic.Int64
			streams := connected(b, client, provider, n, func(st *Stream) { drain(st, &got) })
			msg := make([]byte, message)
			c.writes.Store(0)
			c.bytes.Store(0)
			b.SetBytes(message)
			b.ReportAllocs()
			b.ResetTimer()
			share(b, streams, func(st *Stream) error {
				_, err := st.Write(msg)
				return err
			})
			eventually(b, "every byte is read", func() bool { return got.Load() == int64(b.N)*message })
			b.ReportMetric(float64(c.writes.Load())/float64(b.N), "writes/op")
			b.ReportMetric(float64(c.bytes.Load())/float64(b.N), "wire-B/op")
		})
	}
}
