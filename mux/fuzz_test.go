package mux

import (
	"bytes"
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
	return m
}
