// Command demo runs both tiers in one process: an embedded Redis, a provider
// and a client with a private CA, joined over real sockets on loopback.
//
//	go run ./cmd/demo          stays up for redis-cli until Ctrl-C
//	go run ./cmd/demo --once   ends after the transcript
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	once := flag.Bool("once", false, "end after the transcript")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := demo(ctx, os.Stdout, *once); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		stop()
		os.Exit(1)
	}
}
