// Package live knows what an ambassador is doing: which sessions it has, what
// flows on their streams, how the streams before them ended, and whether the
// backends answer.
//
// Start with [Table]: server and client write into it as things happen, and
// whoever shows them to an operator calls [Table.Snapshot]. A nil *Table takes
// every call and keeps nothing, so that a program which shows nothing pays
// nothing.
//
// Bytes are counted while they flow: a running stream is asked how far it is when
// a snapshot is taken, and costs nothing in between.
//
// Where things are:
//
//	reason.go     why streams end: the one vocabulary of logs, metrics and status
//	reason_dial.go why a backend was not reached
//	handshake.go  why connections became no session
//	table.go      the table, and its snapshot
//	session.go    a session's row
//	stream.go     a stream's row
//	account.go    what has been counted for one peer and link
//	health.go     whether backends answer, by their last dials
//	checker.go    asking them, when somebody wants to know
//	histogram.go  durations
//	event.go      what has happened lately
//	snapshot.go   what is read from a table
package live
