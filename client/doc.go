// Package client is the client's side: it keeps a session with the provider and
// owns the local ports that consumers connect to.
//
// Fill in a [Client] and call [Client.ListenAndServe]. A [Forwarder] is the one
// tier of 2013: local ports straight to targets, in the clear.
//
// How a consumer's connection goes: ports.go accepts it, client.go finds a
// session for it (keeper.go, paced by pace.go) within the hold budget and as long
// as it is there (consumer.go), and internal/relay copies.
package client
