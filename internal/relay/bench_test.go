package relay

import (
	"fmt"
	"io"
	"testing"
)

// benchmarkEcho has one message of size bytes go there and back per round.
func benchmarkEcho(b *testing.B, consumer, backend io.ReadWriter, size int) {
	go func() {
		buf := make([]byte, size)
		for {
			if _, err := io.ReadFull(backend, buf); err != nil {
				return
			}
			if _, err := backend.Write(buf); err != nil {
				return
			}
		}
	}()
	msg := make([]byte, size)
	b.SetBytes(2 * int64(size))
	b.ReportAllocs()
	for b.Loop() {
		consumer.Write(msg)
		if _, err := io.ReadFull(consumer, msg); err != nil {
			b.Fatal(err)
		}
	}
}

// benchmarkBulk has bytes go one way.
func benchmarkBulk(b *testing.B, consumer, backend io.ReadWriter) {
	go io.Copy(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{backend})
	block := make([]byte, 256<<10)
	b.SetBytes(int64(len(block)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := consumer.Write(block); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkRelayTCP(b *testing.B) {
	for _, size := range []int{64, 2 << 10, 8 << 10, 32 << 10, 128 << 10} {
		b.Run(fmt.Sprintf("echo-%d", size), func(b *testing.B) {
			consumer, backend, _ := tcpRelay(b, Options{})
			benchmarkEcho(b, consumer, backend, size)
		})
	}
	b.Run("bulk", func(b *testing.B) {
		consumer, backend, _ := tcpRelay(b, Options{})
		benchmarkBulk(b, consumer, backend)
	})
}

func BenchmarkRelayStream(b *testing.B) {
	stream := func(b *testing.B) (consumer, backend io.ReadWriter) {
		c, e := tcpPair(b)
		s, peer := newPipe(256 << 10)
		start(b, TCP(e), s, Options{})
		return c, peer
	}
	for _, size := range []int{64, 8 << 10} {
		b.Run(fmt.Sprintf("echo-%d", size), func(b *testing.B) {
			consumer, backend := stream(b)
			benchmarkEcho(b, consumer, backend, size)
		})
	}
	b.Run("bulk-up", func(b *testing.B) {
		consumer, backend := stream(b)
		benchmarkBulk(b, consumer, backend)
	})
	b.Run("bulk-down", func(b *testing.B) {
		consumer, backend := stream(b)
		benchmarkBulk(b, backend, consumer)
	})
}

// BenchmarkRelayConnection has one short connection per round.
func BenchmarkRelayConnection(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		consumer, a := tcpPair(b)
		s, peer := newPipe(1 << 10)
		b.StartTimer()
		consumer.Close()
		peer.CloseWrite()
		if res := Copy(TCP(a), s, Options{}); res.Err != nil {
			b.Fatal(res)
		}
	}
}
