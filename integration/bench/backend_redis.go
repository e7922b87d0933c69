package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
)

// startRedis starts a Redis that keeps nothing and has room for every consumer.
func startRedis(ctx context.Context, dir string) (*backend, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	p, err := start(dir, program("redis-server", "--bind", "127.0.0.1", "--port", strconv.Itoa(port),
		"--save", "", "--appendonly", "no", "--maxclients", "15000", "--tcp-backlog", "4096"))
	if err != nil {
		return nil, err
	}
	b := &backend{port: port, probe: probeRedis, fresh: func() error { return emptyRedis(port) }, stop: p.stop}
	if err := await(ctx, port, b.probe); err != nil {
		return nil, p.giveUp(err)
	}
	return b, nil
}

func probeRedis(c net.Conn) error { return redis(c, "+PONG", "PING") }

// emptyRedis leaves nothing but the key that redis-benchmark asks for.
func emptyRedis(port int) error {
	c, err := net.Dial("tcp", loopback(port))
	if err != nil {
		return err
	}
	defer c.Close()
	return errors.Join(redis(c, "+OK", "FLUSHALL"), setValue(c, 3))
}

// benchmarkKey is what redis-benchmark calls its key when it is not told to make
// them at random (-r).
const benchmarkKey = "key:__rand_int__"

// setValue gives the key a value of so many bytes.
func setValue(c net.Conn, size int) error {
	return redis(c, "+OK", "SET", benchmarkKey, strings.Repeat("x", size))
}

// redis sends one command and compares the reply's first line.
func redis(c io.ReadWriter, want string, words ...string) error {
	command := fmt.Sprintf("*%d\r\n", len(words))
	for _, w := range words {
		command += fmt.Sprintf("$%d\r\n%s\r\n", len(w), w)
	}
	if _, err := io.WriteString(c, command); err != nil {
		return err
	}
	line, err := bufio.NewReader(c).ReadString('\n')
	if err != nil {
		return fmt.Errorf("%s: %w", words[0], err)
	}
	if got := strings.TrimSpace(line); got != want {
		return fmt.Errorf("%s: redis answers %q, expected %q", words[0], got, want)
	}
	return nil
}
