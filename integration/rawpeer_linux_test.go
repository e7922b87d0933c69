package integration

import (
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// rawPeer speaks TLS and makes its frames itself: a peer that has a certificate and
// means harm.
type rawPeer struct{ *tls.Conn }

// Frames and flags of yamux (spec.md).
const (
	rawData, rawWindow, rawPing, rawGoAway = 0, 1, 2, 3
	rawSYN, rawACK, rawFIN, rawRST         = 1, 2, 4, 8
)

func rawFrame(kind byte, flags uint16, stream, length uint32, body ...byte) []byte {
	h := make([]byte, 12, 12+len(body))
	h[1] = kind
	binary.BigEndian.PutUint16(h[2:], flags)
	binary.BigEndian.PutUint32(h[4:], stream)
	binary.BigEndian.PutUint32(h[8:], length)
	return append(h, body...)
}

func rawBytes(flags uint16, stream uint32, body string) []byte {
	return rawFrame(rawData, flags, stream, uint32(len(body)), []byte(body)...)
}

// rawConfig is a TLS configuration from a state directory.
func rawConfig(t *testing.T, state string) *tls.Config {
	t.Helper()
	cert, err := tls.LoadX509KeyPair(state+"/cert.pem", state+"/key.pem")
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{
		Certificates: []tls.Certificate{cert}, NextProtos: []string{"ambassador/1"},
		InsecureSkipVerify: true, MinVersion: tls.VersionTLS13, ClientAuth: tls.RequireAnyClientCert,
	}
}

// rawClient is welcomed by the provider, and then its reader is stopped or reads
// everything.
func rawClient(t *testing.T, p *pair, state string, reads bool) rawPeer {
	t.Helper()
	return rawClientOf(t, p.provider.address(), p.state, reads)
}

// rawClientOf has the certificate of a state directory.
func rawClientOf(t *testing.T, provider, state string, reads bool) rawPeer {
	t.Helper()
	c, err := net.DialTimeout("tcp", provider, patience)
	if err != nil {
		t.Fatal(err)
	}
	peer := rawPeer{tls.Client(c, rawConfig(t, state))}
	t.Cleanup(func() { c.Close() })
	peer.SetDeadline(time.Now().Add(2 * patience))
	peer.send(t, slices.Concat(rawFrame(rawWindow, rawSYN, 1, 0), rawBytes(0, 1, `{"kind":"hello"}`+"\n")))
	buf := make([]byte, 4096)
	for text := ""; !strings.Contains(text, "welcome"); {
		n, err := peer.Read(buf)
		if err != nil {
			t.Fatal("no welcome: ", err)
		}
		text += string(buf[:n])
	}
	if reads {
		go io.Copy(io.Discard, peer)
	}
	return peer
}

func (p rawPeer) send(t *testing.T, b []byte) {
	t.Helper()
	if _, err := p.Write(b); err != nil {
		t.Fatal(err)
	}
}

// pour writes until all is written or the peer ends the session.
func (p rawPeer) pour(frames int, frame func(i int) []byte) {
	var batch []byte
	for i := range frames {
		batch = append(batch, frame(i)...)
		if len(batch) > 16<<10 || i == frames-1 {
			if _, err := p.Write(batch); err != nil {
				return
			}
			batch = batch[:0]
		}
	}
}

// rawOpen is a stream's first frame with its open header, for the link backend.
func rawOpen(stream uint32, port uint16) []byte {
	const link = "backend"
	h := []byte{1, 0, 0, 6, 0, 0, 0, 0, 0, 100, byte(len(link))}
	binary.BigEndian.PutUint16(h[4:], port)
	h = append(append(h, link...), 0)
	binary.BigEndian.PutUint16(h[1:], uint16(len(h)-3))
	return rawBytes(rawSYN, stream, string(h))
}

// TestPeerThatSpeaksRawFrames: whatever an enrolled peer sends, its own session ends
// or is throttled, nobody else notices, and the log stays short.
func TestPeerThatSpeaksRawFrames(t *testing.T) {
	echo := newEcho(t)
	p := startPair(t, echo, pairOptions{serve: []string{"--max-client-streams", "1000"}})
	_, text, _ := net.SplitHostPort(echo)
	var port uint16
	fmt.Sscan(text, &port)
	// A client of its own: what one client may have is counted for all of its sessions.
	attacker := t.TempDir()
	issueTo(t, "attacker", filepath.Join(filepath.Dir(p.state), "provider"), attacker)
	stays := startSteady(t, p.entry)
	within(t, patience, func() bool { return stays.said.Load() > 10 })
	memory, fds := p.provider.resident(), p.provider.descriptors()

	for _, attack := range []struct {
		name  string
		ends  bool // the session
		deaf  bool // the peer does not read
		pours func(peer rawPeer)
	}{
		{"window-overrun", true, false, func(peer rawPeer) {
			// The echo stops when its words are given no window back.
			peer.pour(2000, func(i int) []byte {
				if i == 0 {
					return rawOpen(3, port)
				}
				return rawBytes(0, 3, strings.Repeat("x", 32<<10))
			})
		}},
		{"frame-longer-than-any-window", true, false, func(peer rawPeer) {
			peer.pour(2, func(i int) []byte {
				if i == 0 {
					return rawFrame(rawWindow, rawSYN, 3, 0)
				}
				return rawFrame(rawData, 0, 3, 1<<31)
			})
		}},
		{"unknown-type", true, false, func(peer rawPeer) { peer.pour(1, func(int) []byte { return rawFrame(9, 0, 3, 0) }) }},
		{"unknown-version", true, false, func(peer rawPeer) {
			peer.pour(1, func(int) []byte { f := rawFrame(rawPing, rawSYN, 0, 0); f[0] = 7; return f })
		}},
		{"going-away", true, false, func(peer rawPeer) { peer.pour(1, func(int) []byte { return rawFrame(rawGoAway, 0, 0, 0) }) }},
		{"control-line-that-is-none", true, false, func(peer rawPeer) { peer.pour(1, func(int) []byte { return rawBytes(0, 1, "nonsense\n") }) }},
		{"control-line-without-end", true, false, func(peer rawPeer) {
			peer.pour(100, func(int) []byte { return rawBytes(0, 1, strings.Repeat("x", 16<<10)) })
		}},
		{"control-lines-by-the-thousand", false, false, func(peer rawPeer) {
			peer.pour(5000, func(int) []byte { return rawBytes(0, 1, `{"kind":"hello"}`+"\n") })
		}},
		{"stray-frames", false, false, func(peer rawPeer) {
			peer.pour(100_000, func(i int) []byte {
				id := uint32(1001 + 2*(i%1000))
				return [][]byte{rawFrame(rawWindow, 0, id, 1<<20), rawBytes(0, id, "stray"), rawFrame(rawWindow, rawFIN, id, 0), rawFrame(rawWindow, rawRST, id, 0), rawFrame(rawPing, rawACK, 0, uint32(i))}[i%5]
			})
		}},
		{"pings", false, false, func(peer rawPeer) {
			peer.pour(100_000, func(i int) []byte { return rawFrame(rawPing, rawSYN, 0, uint32(i)) })
		}},
		{"pings-whose-answers-are-not-read", false, true, func(peer rawPeer) {
			peer.pour(100_000, func(i int) []byte { return rawFrame(rawPing, rawSYN, 0, uint32(i)) })
		}},
		{"streams-opened-and-reset", false, false, func(peer rawPeer) {
			peer.pour(20_000, func(i int) []byte {
				id := uint32(3 + 2*i)
				return append(rawOpen(id, port), rawFrame(rawWindow, rawRST, id, 0)...)
			})
		}},
		{"streams-without-header", false, false, func(peer rawPeer) {
			peer.pour(20_000, func(i int) []byte { return rawFrame(rawWindow, rawSYN, uint32(3+2*i), 0) })
		}},
		{"streams-beyond-the-limit-and-deaf", true, true, func(peer rawPeer) {
			peer.pour(1<<20, func(i int) []byte { return rawFrame(rawWindow, rawSYN, uint32(3+2*i), 0) })
		}},
		{"links-that-are-none", false, false, func(peer rawPeer) {
			peer.pour(5000, func(i int) []byte { return rawOpen(uint32(3+2*i), uint16(i)) })
		}},
		{"credit-beyond-all-bounds", false, false, func(peer rawPeer) {
			peer.pour(5001, func(i int) []byte {
				if i == 0 {
					return rawOpen(3, port)
				}
				return rawFrame(rawWindow, 0, 3, 1<<32-1)
			})
		}},
	} {
		t.Run(attack.name, func(t *testing.T) {
			peer := rawClient(t, p, attacker, !attack.deaf)
			from := peer.LocalAddr().String()
			loud, said := p.provider.loud(), stays.said.Load()
			began := time.Now()
			attack.pours(peer)
			if attack.ends {
				p.provider.waitLog("client disconnected", from)
			} else if !attack.deaf {
				// The frame behind all the others has been taken, and the session lives.
				peer.send(t, rawFrame(rawPing, rawSYN, 0, 1))
				if strings.Contains(lineOf(p.provider, "client disconnected", from), from) {
					t.Error("the session was ended")
				}
			}
			took := time.Since(began)
			within(t, 2*time.Second*idleFactor, func() bool { return stays.said.Load() > said+20 })
			if err := visit(p.entry, random(2000)); err != nil {
				t.Error("another client's consumer:", err)
			}
			peer.NetConn().Close()
			p.provider.waitLog("client disconnected", from)
			if n := p.provider.loud() - loud; n > 25 { // 20 of a kind that the peer makes up (server, maxEvents)
				t.Errorf("%d lines above debug in the log", n)
			}
			eventually(t, patience, func() error {
				if now := p.provider.descriptors(); now > fds+2 {
					return fmt.Errorf("%d descriptors, %d before", now, fds)
				}
				return nil
			})
			t.Logf("%v, memory %+d MiB", took, (p.provider.resident()-memory)>>20)
		})
	}
	if grown := p.provider.resident() - memory; grown > slack {
		t.Errorf("the provider has %d MiB more", grown>>20)
	}
	if err := stays.finish(); err != nil {
		t.Error("another client's consumer that stayed:", err)
	}
	if n := p.client.count("connected to the provider"); n != 1 {
		t.Errorf("the other client had %d sessions, want the one", n)
	}
	if n := p.provider.goroutines(); n > quietGoroutines {
		t.Errorf("%d goroutines", n)
	}
}

// lineOf is the line of the log with the message and the text, empty if there is
// none yet.
func lineOf(p *process, msg, text string) string {
	for line := range strings.Lines(p.log()) {
		if strings.Contains(line, `"`+msg+`"`) && strings.Contains(line, text) {
			return line
		}
	}
	return ""
}

// TestProviderThatSpeaksRawFrames: a client outlives whatever its provider sends, comes
// back at its own pace, and serves again when the provider is a good one.
func TestProviderThatSpeaksRawFrames(t *testing.T) {
	echo := newEcho(t)
	dir := t.TempDir()
	issue(t, dir+"/provider", dir+"/client")
	startProvider(t, dir+"/provider", "--link", "backend="+echo).signal(syscall.SIGKILL) // makes its certificate
	l, err := net.Listen("tcp", "127.0.0.1:"+freePort(t))
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ := net.SplitHostPort(echo)
	welcome := fmt.Sprintf(`{"kind":"welcome","links":[{"name":"backend","ports":[%s]}]}`+"\n", text)
	evil := [][]byte{
		rawFrame(rawWindow, rawSYN, 2, 0), rawFrame(9, 0, 0, 0), rawFrame(rawData, 0, 1, 1<<31), rawBytes(0, 1, "nonsense\n"),
		rawFrame(rawGoAway, 0, 0, 0), rawFrame(rawWindow, rawRST, 1, 0), rawFrame(rawWindow, rawFIN, 1, 0), rawBytes(rawFIN, 1, "x"),
	}
	config := rawConfig(t, dir+"/provider")
	served := make(chan error, 1)
	go func() {
		for _, frame := range evil {
			c, err := l.Accept()
			if err != nil {
				served <- err
				return
			}
			peer := tls.Server(c, config)
			peer.SetDeadline(time.Now().Add(patience))
			buf := make([]byte, 4096)
			said := ""
			for !strings.Contains(said, "hello") && err == nil {
				var n int
				n, err = peer.Read(buf)
				said += string(buf[:n])
			}
			if err == nil {
				_, err = peer.Write(append(rawBytes(rawACK, 1, welcome), frame...))
			}
			if err != nil {
				served <- err
				return
			}
			io.Copy(io.Discard, peer) // until the client ends the session
			c.Close()
		}
		served <- nil
	}()
	entry := "127.0.0.1:" + freePort(t)
	began := time.Now()
	c := run(t, nil, "connect", l.Addr().String(), "--state-dir", dir+"/client", "--expose", entry+"=backend:"+text)
	select {
	case err := <-served:
		if err != nil {
			t.Fatal(err)
		}
	case <-time.After(2 * patience):
		t.Fatalf("the client did not come %d times:\n%s", len(evil), c.log())
	}
	t.Logf("%d bad sessions in %v", len(evil), time.Since(began))
	l.Close()
	startAt(t, l.Addr().String(), dir+"/provider", "backend="+echo)
	eventually(t, patience, func() error { return visit(entry, random(2000)) })
	if n := c.loud(); n > 6*len(evil) {
		t.Errorf("%d lines above debug for %d bad sessions", n, len(evil))
	}
}

// startAt starts a provider at an address.
func startAt(t *testing.T, address, state, link string) {
	t.Helper()
	run(t, nil, "serve", "--listen", address, "--state-dir", state, "--link", link).waitLog("serving")
}
