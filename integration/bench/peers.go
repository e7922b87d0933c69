package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
)

// peers are the other tunnels: each with mutual authentication where it has
// that, and with its limits raised to what the works need.
func peers() []system {
	return []system{
		{
			name: "haproxy", kind: encrypted, programs: []string{"haproxy"}, from: "apt-get install haproxy",
			version: []string{"haproxy", "-v"}, commands: haproxy,
		},
		{
			name: "stunnel", kind: encrypted, programs: []string{"stunnel"}, from: "apt-get install stunnel4",
			version: []string{"stunnel", "-version"}, commands: stunnel,
		},
		{
			name: "ssh", kind: encrypted, programs: []string{"sshd", "ssh", "ssh-keygen"}, from: "apt-get install openssh-server",
			version: []string{"ssh", "-V"}, prepare: sshKeys, commands: ssh,
		},
		{
			name: "spiped", kind: encrypted, programs: []string{"spiped"}, from: "apt-get install spiped",
			version: []string{"spiped", "-v"}, commands: spiped,
		},
		{
			name: "socat", kind: plain, programs: []string{"socat"}, from: "apt-get install socat",
			version: []string{"socat", "-V"}, commands: socat,
		},
	}
}

// loopback is a port's address.
func loopback(port int) string { return "127.0.0.1:" + strconv.Itoa(port) }

// config writes one of a peer's files.
func config(dir, name, format string, args ...any) (path string, err error) {
	return filepath.Join(dir, name), write(dir, name, fmt.Appendf(nil, format, args...))
}

func haproxy(dir string, w way) (command, command, error) {
	const head = `global
 maxconn 8000
 ssl-server-verify required
defaults
 mode tcp
 timeout connect 5s
 timeout client 1h
 timeout server 1h
 maxconn 8000
`
	provider, err1 := config(dir, "haproxy-provider.cfg", head+`listen provider
 bind 127.0.0.1:%d ssl crt %[2]s/server.both ca-file %[2]s/ca.pem verify required
 server backend 127.0.0.1:%[3]d
`, w.listen, dir, w.backend)
	client, err2 := config(dir, "haproxy-client.cfg", head+`listen client
 bind 127.0.0.1:%d
 server provider 127.0.0.1:%d ssl crt %[3]s/client.both ca-file %[3]s/ca.pem verify required verifyhost localhost
`, w.entry, w.dial, dir)
	return program("haproxy", "-db", "-f", provider), program("haproxy", "-db", "-f", client), errors.Join(err1, err2)
}

func stunnel(dir string, w way) (command, command, error) {
	const head = "foreground=yes\npid=\nsyslog=no\ndebug=3\n"
	provider, err1 := config(dir, "stunnel-provider.conf", head+`[provider]
accept=127.0.0.1:%d
connect=127.0.0.1:%d
cert=%[3]s/server.both
CAfile=%[3]s/ca.pem
verifyChain=yes
requireCert=yes
sslVersionMin=TLSv1.3
`, w.listen, w.backend, dir)
	client, err2 := config(dir, "stunnel-client.conf", head+`[client]
client=yes
accept=127.0.0.1:%d
connect=127.0.0.1:%d
cert=%[3]s/client.both
CAfile=%[3]s/ca.pem
verifyChain=yes
checkHost=localhost
sslVersionMin=TLSv1.3
`, w.entry, w.dial, dir)
	return program("stunnel", provider), program("stunnel", client), errors.Join(err1, err2)
}

// sshKeys makes the host's and the user's key, and the folder that sshd wants
// when root runs it, which on most machines is made at boot (sshd(8), /run/sshd).
func sshKeys(ctx context.Context, dir string) error {
	for _, name := range []string{"ssh-host", "ssh-user"} {
		out, err := exec.CommandContext(ctx, lookup("ssh-keygen"), "-q", "-t", "ed25519", "-N", "", "-f", filepath.Join(dir, name)).CombinedOutput()
		if err != nil {
			return fmt.Errorf("ssh-keygen: %w: %s", err, out)
		}
	}
	if os.Geteuid() == 0 {
		return os.MkdirAll("/run/sshd", 0o755)
	}
	return nil
}

func ssh(dir string, w way) (command, command, error) {
	me, err := user.Current()
	if err != nil {
		return command{}, command{}, err
	}
	server, err := config(dir, "sshd_config", `Port %d
ListenAddress 127.0.0.1
HostKey %[2]s/ssh-host
AuthorizedKeysFile %[2]s/ssh-user.pub
StrictModes no
PidFile none
UsePAM no
MaxSessions 10000
MaxStartups 1000
PermitRootLogin yes
`, w.listen, dir)
	return program("sshd", "-D", "-e", "-f", server), program(
		"ssh", "-N", "-F", "none", "-i", dir+"/ssh-user", "-p", strconv.Itoa(w.dial),
		// The port is another one each time, and so no known host.
		"-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null",
		"-o", "BatchMode=yes", "-o", "ExitOnForwardFailure=yes",
		"-L", loopback(w.entry)+":"+loopback(w.backend), me.Username+"@127.0.0.1",
	), err
}

func spiped(dir string, w way) (command, command, error) {
	at := func(port int) string { return fmt.Sprintf("[127.0.0.1]:%d", port) }
	side := func(mode string, from, to int) command {
		return program("spiped", mode, "-F", "-s", at(from), "-t", at(to), "-k", dir+"/spiped.key", "-n", "5000")
	}
	return side("-d", w.listen, w.backend), side("-e", w.entry, w.dial), nil
}

func socat(_ string, w way) (command, command, error) {
	side := func(from, to int) command {
		return program("socat", fmt.Sprintf("TCP4-LISTEN:%d,bind=127.0.0.1,fork,reuseaddr,backlog=1024", from), "TCP4:"+loopback(to))
	}
	return side(w.listen, w.backend), side(w.entry, w.dial), nil
}
