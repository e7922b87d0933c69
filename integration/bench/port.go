package main

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
)

// The ports that are given: below 32768, where Linux begins to take the local
// ports of outgoing connections (ip_local_port_range, ip(7)), so that none of
// them gets one by chance.
const firstPort, lastPort = 15000, 31999

var givenPorts = map[int]bool{}

// freePort is a port of 127.0.0.1 that nobody listens on, and not one that was
// given lately: what lingers of the last measurement's connections is not in the
// way. For one goroutine at a time.
func freePort() (int, error) {
	if len(givenPorts) > (lastPort-firstPort)/2 {
		clear(givenPorts)
	}
	for range 10000 {
		port := firstPort + rand.IntN(lastPort-firstPort+1)
		if givenPorts[port] {
			continue
		}
		l, err := listenAt(port)
		if err != nil {
			continue
		}
		givenPorts[port] = true
		return port, l.Close()
	}
	return 0, errors.New("no free port of 127.0.0.1 from 15000 to 31999")
}

// listen opens a listener at a free port.
func listen() (net.Listener, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	return listenAt(port)
}

func listenAt(port int) (net.Listener, error) {
	lc := net.ListenConfig{}
	lc.SetMultipathTCP(false) // Go's default, and not what other backends have
	return lc.Listen(context.Background(), "tcp", loopback(port))
}

func portOf(l net.Listener) int { return l.Addr().(*net.TCPAddr).Port }
