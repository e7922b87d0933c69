package mux

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"reflect"
	"testing"
	"time"
)

func FuzzOpenHeader(f *testing.F) {
	good, err := Open{Link: "redis", Port: 6379, Hold: time.Second, Consumer: "[::1]:9"}.append(nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte("\x01\x00\x09\x06\x00\x01\x00\x00\x00\x00\x00\x00"))
	f.Add([]byte("GET / HTTP/1.1\r\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		r := bytes.NewReader(b)
		o, err := readOpen(r)
		if err != nil {
			if !errors.Is(err, ErrProtocol) && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Fatalf("unknown error %v", err)
			}
			return
		}
		again, err := o.append(nil)
		if read := len(b) - r.Len(); err != nil || !bytes.Equal(again, b[:read]) {
			t.Fatalf("%x was read as %+v and written as %x (%v)", b[:read], o, again, err)
		}
	})
}

func FuzzStatus(f *testing.F) {
	f.Add([]byte{statusOK})
	f.Add(appendRefusal(nil, RefusedBackend, "why"))
	f.Add([]byte{2, 200, 'x'})
	f.Fuzz(func(t *testing.T, b []byte) {
		err := readStatus(bytes.NewReader(b))
		var refused *RefusedError
		if len(b) > 0 && b[0] == statusOK != (err == nil) {
			t.Fatalf("%x: %v", b, err)
		}
		if len(b) > 0 && b[0] != statusOK && !errors.As(err, &refused) {
			t.Fatalf("%x: %v", b, err)
		}
	})
}

func FuzzControlLine(f *testing.F) {
	f.Add([]byte(`{"kind":"welcome","links":[{"name":"redis","ports":[6379]}]}`))
	f.Add([]byte(`{"kind":7}`))
	f.Add([]byte(`{"kind":"check","max_age_ms":1000}`))
	f.Add([]byte(`{"kind":"health","health":[{"link":"redis","port":6379,"ok":false,"reason":"backend-refused","age_ms":5,"took_us":100}]}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		m, err := parseMessage(line)
		if err != nil {
			if !errors.Is(err, ErrProtocol) {
				t.Fatal(err)
			}
			return
		}
		again, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		if back, err := parseMessage(again); err != nil || !reflect.DeepEqual(normal(m), normal(back)) {
			t.Fatalf("%+v became %+v (%v)", m, back, err)
		}
	})
}

// normal makes an empty list and none the same, as they are on the wire.
func normal(m Message) Message {
	if len(m.Links) == 0 {
		m.Links = nil
	}
	if len(m.Health) == 0 {
		m.Health = nil
	}
	return m
}

// FuzzFrames: whatever an authenticated peer sends, the session ends with an error
// that is ErrSessionLost, or lives; nothing waits for ever and nothing is left.
func FuzzFrames(f *testing.F) {
	frame := func(t frameType, flags uint16, id, length uint32, body string) string {
		h := makeHeader(t, flags, id, length)
		return string(h[:]) + body
	}
	f.Add([]byte(frame(typeWindowUpdate, flagSYN, 1, 0, "") + frame(typeData, 0, 1, 5, "hello")))
	f.Add([]byte(frame(typeData, flagSYN, 3, 4, "data") + frame(typeWindowUpdate, flagFIN, 3, 0, "") + frame(typeWindowUpdate, flagRST, 3, 0, "")))
	f.Add([]byte(frame(typePing, flagSYN, 0, 7, "") + frame(typePing, flagACK, 0, 7, "")))
	f.Add([]byte(frame(typeWindowUpdate, flagSYN, 5, 0, "") + frame(typeData, 0, 5, 1<<31, "")))
	f.Add([]byte(frame(typeGoAway, 0, 0, 0, "")))
	f.Fuzz(func(t *testing.T, sent []byte) {
		a, b := tcpPair(t)
		config := testTLS().Clone()
		config.NextProtos = []string{Protocol}
		peer := tls.Client(b, config)
		written := make(chan struct{})
		go func() {
			defer close(written)
			first := makeHeader(typeWindowUpdate, flagSYN, 1, 0) // the control stream
			if _, err := peer.Write(append(first[:], sent...)); err == nil {
				_ = peer.CloseWrite()
			}
			_, _ = io.Copy(io.Discard, peer) // until the session closes
			_ = b.Close()
		}()
		s, err := Server(t.Context(), a, testTLS(), Options{MaxStreams: 100, SessionMemory: 1 << 20})
		if err != nil {
			b.Close()
			<-written
			return // the control stream was not accepted before the end
		}
		s.Handle(func(st *Stream) {
			go func() {
				_, _ = io.Copy(io.Discard, st)
				st.Reset("read")
			}()
		})
		within(t, patience, "the session ends with its connection", func() { <-s.Done() })
		if err := s.Err(); !errors.Is(err, ErrSessionLost) {
			t.Errorf("%v, want ErrSessionLost", err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		<-written
		if n := s.memory.used.Load(); n < 0 {
			t.Errorf("%d bytes are held", n)
		}
	})
}
