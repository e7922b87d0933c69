package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// postgresScale is pgbench's scale factor: 1,000,000 rows, which stay in memory.
const postgresScale = 10

// startPostgres makes a database cluster and serves it. PostgreSQL refuses to
// run as root, so that root lets another user do it.
func startPostgres(ctx context.Context, dir string) (_ *backend, err error) {
	who, err := unprivileged()
	if err != nil {
		return nil, err
	}
	home, err := os.MkdirTemp("", "ambassador-bench-postgres-") // dir is closed to others
	if err != nil {
		return nil, err
	}
	undo := func() error { return os.RemoveAll(home) }
	defer func() {
		if err != nil {
			err = errors.Join(err, undo())
		}
	}()
	if who != nil {
		if err := os.Chown(home, int(who.uid), int(who.gid)); err != nil {
			return nil, err
		}
	}
	data := filepath.Join(home, "data")
	initdb := exec.CommandContext(ctx, lookup("initdb"), "-D", data, "-U", "bench", "-A", "trust", "--no-locale", "-E", "UTF8", "--no-sync")
	isolate(initdb, who)
	initdb.Dir = home
	if out, err := initdb.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("initdb: %w: %s", err, out)
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	server := program("postgres", "-D", data, "-p", strconv.Itoa(port))
	for _, setting := range []string{
		"listen_addresses=127.0.0.1", "unix_socket_directories=", "max_connections=200",
		"shared_buffers=256MB", "fsync=off", "autovacuum=off",
	} {
		server.argv = append(server.argv, "-c", setting)
	}
	// Killed, it would leave its shared memory behind.
	server.home, server.user, server.end = home, who, syscall.SIGINT
	p, err := start(dir, server)
	if err != nil {
		return nil, err
	}
	undo = func() error { return errors.Join(p.stop(), os.RemoveAll(home)) }
	if err := await(ctx, port, probePostgres); err != nil {
		return nil, p.giveUp(err)
	}
	_, err = output(ctx, "pgbench", pgbench(port, "-i", "-q", "-s", strconv.Itoa(postgresScale))...)
	return &backend{port: port, probe: probePostgres, stop: undo}, err
}

// unprivileged is the user for what root may not run, nil if we are not root.
func unprivileged() (*account, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		u, err = user.Lookup("nobody")
	}
	if err != nil {
		return nil, err
	}
	uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
	gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
	return &account{uint32(uid), uint32(gid)}, errors.Join(err1, err2)
}

// probePostgres logs in (PostgreSQL's frontend/backend protocol 3.0: a startup
// message, and "R" if it is taken). A server that still starts says "E".
func probePostgres(c net.Conn) error {
	words := "user\x00bench\x00database\x00postgres\x00\x00"
	m := binary.BigEndian.AppendUint32(nil, uint32(8+len(words)))
	m = binary.BigEndian.AppendUint32(m, 3<<16)
	if _, err := c.Write(append(m, words...)); err != nil {
		return err
	}
	var answer [1]byte
	if _, err := io.ReadFull(c, answer[:]); err != nil {
		return err
	}
	if answer[0] != 'R' {
		return fmt.Errorf("postgres answers %q, expected R", answer[0])
	}
	return nil
}
