// Package server is the provider's side: it accepts sessions, checks what each
// client may use, and dials backends.
//
// Fill in a [Server] and call [Server.Serve] with a listener. When grants have
// changed, call [Server.Reauthorize]: running sessions follow. A server
// takes its *tls.Config and the judgement of peers as they are given, and knows
// nothing of certificates.
package server
