// Package mux is the carrier between two ambassadors: one mutually
// authenticated TLS 1.3 connection that carries many streams.
//
// Call [Client] on a dialled connection and [Server] on an accepted one; both
// do the TLS handshake and return a [Session]. A client then calls
// [Session.Open] for each consumer; a provider calls [Session.Accept] and, on
// each stream, [Stream.ReadOpen] and then [Stream.Accept] or [Stream.Refuse].
// The first stream of a session is its [Control] stream.
//
// The wire format is yamux (github.com/hashicorp/yamux, spec.md). yamux keeps
// the streams' life and what was received; this package sits around it and
// sees every frame both ways, which buys what yamux alone does not give:
//
//   - a lost session never reads as a clean end (stream.go),
//   - a reset crosses the carrier, after every byte sent before it (reset.go),
//   - data frames go straight into the batch that is being gathered (out.go),
//   - one system call carries a whole batch both ways (wire.go),
//   - liveness counts any received byte (liveness.go).
//
// From the wire up:
//
//	TCP → wire (read buffer, write cork) → tls.Conn → in/out (frames) → yamux → Stream
//
// Only this package knows yamux.
package mux
