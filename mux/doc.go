// Package mux is the carrier between two ambassadors: one mutually
// authenticated TLS 1.3 connection that carries many streams.
//
// Call [Client] on a dialled connection and [Server] on an accepted one; both
// do the TLS handshake and return a [Session]. A client then calls
// [Session.Open] for each consumer; a provider calls [Session.Accept] and, on
// each stream, [Stream.ReadOpen] and then [Stream.Accept] or [Stream.Refuse].
// The first stream of a session is its [Control] stream.
//
// The wire format is yamux's (hashicorp/yamux, spec.md): its frames, flags and
// windows, of which a session uses what it needs. The code is our own. Measured
// with the yamux library in this place, each small request woke two goroutines
// more at both ends (2.7 futex calls against 0.06), and the library gives a clean
// EOF when its session dies, throws away what was not read when a reset arrives,
// and cannot let a window grow.
//
// From the wire up:
//
//	TCP → wire.go (read buffer, write cork; one system call a batch) → tls.Conn
//	    → out.go (frames into batches; small before bulk)
//	    → in.go (frames to streams) → receive.go (what is unread) → Stream
//
// What is where:
//
//	session.go       a session's life, from the handshake to the last byte; errors.go: its ends
//	frame.go         the frames; in.go takes them to their streams
//	socket_linux.go  the options of the carrier's socket
//	wire.go          one system call a batch; buffers only while bytes are under way
//	rawio_unix.go    waiting without a buffer, and system calls that cost little (now_linux.go)
//	out.go           which frames make the next batch: small before bulk
//	flush.go         who writes it: one who finds nobody writing, or the flusher
//	pace.go          how much bulk may be ahead of a small request
//	open.go          the first bytes of a stream: open header and answer
//	accept.go        how streams begin on both sides, without a round trip
//	stream.go        the net.Conn, and its reader parked without a goroutine
//	receive.go       what is unread (chunk.go: its buffers)
//	window.go        how far a sender may be ahead, and how that grows with the path
//	memory.go        the bound on what is unread, and who pays when it is reached
//	reset.go         how a reset crosses the carrier, after every byte
//	liveness.go      signs of life, and the round trip
//	control.go       the first stream of a session: JSON lines
//	wear.go          when a session's keys have done their work
//	service.go       other protocols on the same port, by ALPN
package mux
