// Package relay copies one connection both ways and shows each end what a
// direct TCP connection would have shown it.
//
// Call [Copy] with two ends; it returns when both directions are done. Wrap a
// TCP connection with [TCP]; any other carrier implements [End]. To read the
// byte counts of a running relay or to cut it, make it with [New], call
// [Relay.Start], and use [Relay.Bytes] and [Relay.Abort] from elsewhere.
//
// What the ends see:
//
//	on one side                        on the other side
//	FIN                                FIN, after every byte; the other direction goes on
//	RST, a timeout, its carrier lost   RST within 1 s, after every byte that it still takes
//	it stops reading                   nothing: only this relay stalls
//	both have sent FIN                 both are closed
//	half-closed and silent too long    RST, on both sides
//
// A clean end is shown only for a clean end. "That it still takes" means: the
// bytes that arrived before an abort are delivered as long as some are taken
// every 0.8 s, and the RST follows them.
//
// A [Result] says why the relay ended in one word. With the ends named a and b:
//
//	reason             meaning
//	a-closed           both ends sent FIN, a first
//	b-closed           both ends sent FIN, b first
//	a-reset            a aborted: RST, or what carries it was lost; Err says which
//	b-reset            the same of b
//	a-lost             a stopped answering: a TCP timeout or no route to it
//	b-lost             the same of b
//	idle-half-closed   one end sent FIN and the other direction was silent too long
//	aborted            [Relay.Abort] was called
//
// Where things are: relay.go has the life of a relay and teardown.go its ends,
// source.go and raw_unix.go wait for bytes without holding a buffer, doze_unix.go
// and watch_linux.go without holding a goroutine, buffer.go sizes the buffers,
// tcp.go, tcp_linux.go and now_linux.go are the TCP end, and watch_linux.go also
// notices a reset on a connection that nobody reads.
package relay
