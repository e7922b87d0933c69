// Package admin is what an operator sees of a running ambassador, and may ask of
// it: the control socket, health, metrics and the dashboard.
//
// Start with [Ambassador], which a command fills in, and [Ambassador.Status],
// which everything here shows in its own way.
package admin
