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
//	aborted            [Relay.Abort] was called; Result.Why is what it was given
//
// These are the words of one relay, which sees two connections and nothing of the
// path beyond them. What a whole path ended by, as logs and status have it, is
// said by server and client in the words of internal/live; docs/close-reasons.md
// lists them.
//
// Where things are:
//
//	relay.go          the life of a relay
//	teardown.go       its ends; reason.go: their names
//	end.go            what an end is, and may be asked for
//	source.go         waiting for bytes without a buffer; raw_unix.go for sockets
//	doze_unix.go      waiting without a goroutine; watch_linux.go wakes
//	newcomer.go       what only a connection that lasts is given
//	buffer.go         buffers whose size follows the flow
//	tcp.go            the TCP end; tcp_linux.go: its truth, now_linux.go: its system calls
//	watch_linux.go    a reset on a connection that nobody reads
package relay
