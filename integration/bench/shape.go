package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// shapeHandle names our queueing discipline on lo, so that nobody else's is
// taken for it.
const shapeHandle = "be7c:"

// canShape says why the carrier cannot be shaped here.
func canShape() error {
	if os.Geteuid() != 0 {
		return errors.New("needs root, to shape lo with tc")
	}
	if lookup("tc") == "" {
		return errors.New("tc is not installed: apt-get install iproute2")
	}
	disciplines, err := tc("qdisc show dev lo")
	if err == nil && !strings.Contains(disciplines, "noqueue") && !isOurs(disciplines) {
		err = fmt.Errorf("lo has a queueing discipline of somebody else: %s", strings.TrimSpace(disciplines))
	}
	return err
}

func isOurs(disciplines string) bool { return strings.Contains(disciplines, " "+shapeHandle+" root ") }

// clearShape takes away what a run that was killed has left.
func clearShape() error {
	disciplines, err := tc("qdisc show dev lo")
	if err == nil && isOurs(disciplines) {
		err = unshape()
	}
	return err
}

// underShape calls f while all that goes to or from a port is held to 200 Mbit/s,
// with a queue of 512 KiB before that: 20 ms.
func underShape(port int, f func() error) (err error) {
	if err := clearShape(); err != nil {
		return err
	}
	if _, err := tc("qdisc add dev lo root handle " + shapeHandle + " htb default 1"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unshape()) }()
	const slow = shapeHandle + "3"
	for _, words := range []string{
		"class add dev lo parent " + shapeHandle + " classid " + shapeHandle + "1 htb rate 100gbit",
		"class add dev lo parent " + shapeHandle + " classid " + slow + " htb rate 200mbit burst 128k cburst 128k",
		"qdisc add dev lo parent " + slow + " bfifo limit 512k",
		fmt.Sprintf("filter add dev lo parent %s protocol ip u32 match ip dport %d 0xffff flowid %s", shapeHandle, port, slow),
		fmt.Sprintf("filter add dev lo parent %s protocol ip u32 match ip sport %d 0xffff flowid %s", shapeHandle, port, slow),
	} {
		if _, err := tc(words); err != nil {
			return err
		}
	}
	return f()
}

// unshape takes away what underShape did. It does not mind a signal.
func unshape() error {
	if _, err := tc("qdisc del dev lo root handle " + shapeHandle); err != nil {
		return fmt.Errorf("lo may still be shaped: run \"tc qdisc del dev lo root\": %w", err)
	}
	return nil
}

func tc(words string) (string, error) {
	cmd := exec.Command(lookup("tc"), strings.Fields(words)...)
	isolate(cmd, nil) // Ctrl-C in the terminal is for us
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("tc %s: %w: %s", words, err, strings.TrimSpace(string(out)))
	}
	return string(out), nil
}
