// Package link says what a link is: a named service with one or more ports,
// and for every port the address that is dialled.
//
// Call [Discover] for the provider's links (the words of --link and the
// process's environ), [FromEnv] and then [Forwards] for the one tier, and
// [ParseExpose] for the words of --expose. [NoLinks] is the error for a person
// who gave no link at all. All parsing is pure: it reads its arguments,
// never the process, and may be called by several goroutines at once.
//
// # Link variables
//
// Docker's legacy links, Kubernetes services and people who write -e by hand
// describe a service with the same variables:
//
//	REDIS_PORT_6379_TCP=tcp://172.17.0.2:6379   the only one that is parsed
//	REDIS_NAME=/some_container/redis            gives the exact alias
//	REDIS_PORT=tcp://172.17.0.2:6379            the first port once more
//	REDIS_PORT_6379_TCP_{ADDR,PORT,PROTO}       the parts of the first line
//	REDIS_PORT_7000_TCP_{START,END,PORT_START,PORT_END}   a range
//
// The number in the name is the port that consumers know; the host and port in
// the value are dialled, and the two ports may differ. Ranges are recognised
// and passed over because every port of a range has a line of its own too.
//
// A variable with _ENV_ in its name is never parsed, whatever follows, because
// Docker copies the linked container's own environment, secrets included, to
// ALIAS_ENV_*. See [FromEnv] for what that means for an alias such as my-env.
//
// # Errors
//
// Every error that means wrong usage matches [ErrUsage], so that a command can
// map it to its exit code. errors.go lists them.
package link
