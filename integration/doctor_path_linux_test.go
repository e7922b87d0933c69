package integration

import (
	"net"
	"os/exec"
	"strconv"
	"testing"
	"time"
)

// What only a network between hosts shows: packets that are dropped, and addresses
// to which there is no way.
func TestDoctorNamesTheNetworksTrouble(t *testing.T) {
	f := startFar(t, pairOptions{})
	// The backend of the link "far" is on the client's host: the cable is between.
	far := net.JoinHostPort(nearAddress, "9999")
	f.provider.cmd.Process.Kill()
	<-f.provider.done
	nowhere := "198.51.100.7:9999"
	f.on(bigServer, "ip", "route", "add", "unreachable", "198.51.100.0/24")
	f.hosts.inside(t, bigServer, func() {
		f.provider = run(t, nil, append([]string{
			"serve", "--listen", ":" + carrierPort, "--state-dir", f.state("provider"),
			"--link", "far=" + far, "--link", "nowhere=" + nowhere,
		}, f.links()...)...)
	})
	f.provider.waitLog("serving")
	client := func(link string) (e examination) {
		f.hosts.inside(t, clientServer, func() {
			e = examine(t, nil, bigAddress+":"+carrierPort, "--state-dir", f.state("client"), "--expose", "127.0.0.1:7777="+link)
		})
		return e
	}
	provider := func(link string) (e examination) {
		f.hosts.inside(t, bigServer, func() {
			e = examine(t, nil, "--state-dir", f.state("provider"), "--link", link, "--max-streams", "100")
		})
		return e
	}
	t.Run("provider-behind-a-firewall-that-drops", func(t *testing.T) {
		rule := []string{"INPUT", "-p", "tcp", "--syn", "--dport", carrierPort, "-j", "DROP"}
		f.iptables(bigServer, "-I", rule...)
		defer f.iptables(bigServer, "-D", rule...)
		began := time.Now()
		client("echo").shows(t, ailment{"provider-dial", "provider-name", "did not answer", "firewalls"})
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("it took %v", took)
		}
	})
	t.Run("provider-behind-a-firewall-that-rejects", func(t *testing.T) {
		rule := []string{"INPUT", "-p", "tcp", "--dport", carrierPort, "-j", "REJECT", "--reject-with", "icmp-host-unreachable"}
		f.iptables(bigServer, "-I", rule...)
		defer f.iptables(bigServer, "-D", rule...)
		client("echo").shows(t, ailment{"provider-dial", "provider-name", "no way to", "routes"})
	})
	t.Run("own-firewall", func(t *testing.T) {
		rule := []string{"OUTPUT", "-p", "tcp", "--dport", carrierPort, "-j", "DROP"}
		f.iptables(clientServer, "-I", rule...)
		defer f.iptables(clientServer, "-D", rule...)
		client("echo").shows(t, ailment{"provider-dial", "provider-name", "", "firewall"})
	})
	t.Run("backend-behind-a-firewall-that-drops", func(t *testing.T) {
		rule := []string{"INPUT", "-p", "tcp", "--syn", "--dport", "9999", "-j", "DROP"}
		f.iptables(clientServer, "-I", rule...)
		defer f.iptables(clientServer, "-D", rule...)
		client("far").shows(t, ailment{"round-trip", "grant", "did not answer", "firewall"})
		provider("far="+far).shows(t, ailment{"backend-dial", "backend-name", "did not answer", "firewalls"})
	})
	t.Run("backend-without-a-way", func(t *testing.T) {
		client("nowhere").shows(t, ailment{"round-trip", "grant", "no way", "routes"})
		provider("nowhere="+nowhere).shows(t, ailment{"backend-dial", "backend-name", "no way to", "routes"})
	})
	t.Run("provider-stopped", func(t *testing.T) {
		if err := exec.Command("kill", "-STOP", strconv.Itoa(f.provider.cmd.Process.Pid)).Run(); err != nil {
			t.Fatal(err)
		}
		client("echo").shows(t, ailment{"tls", "provider-dial", "says nothing", "not stopped"})
	})
}
