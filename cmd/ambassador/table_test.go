package main

import (
	"strings"
	"testing"
	"time"
)

func TestTableAlignsColumnsAndDropsEmptyOnes(t *testing.T) {
	tb := newTable("NAME", "N", "EMPTY", "WHAT").numbers(1)
	tb.add("a", "1", "", "x")
	tb.add("långt", "1000", "", "")
	tb.add("", "20", "", "z")
	var out strings.Builder
	if err := tb.write(&out, paint{}); err != nil {
		t.Fatal(err)
	}
	const want = "" +
		"NAME      N  WHAT\n" +
		"a         1  x\n" +
		"långt  1000\n" +
		"         20  z\n"
	if out.String() != want {
		t.Errorf("\n%s\nwant\n%s", out.String(), want)
	}
}

func TestUnitsReadWell(t *testing.T) {
	for n, want := range map[int64]string{
		0: "0 B", 1023: "1023 B", 1024: "1.00 KiB", 10 << 10: "10.0 KiB", 1<<20 - 1: "1.00 MiB", 123 << 20: "123 MiB", 5 << 40: "5.00 TiB",
	} {
		if got := bytesOf(n); got != want {
			t.Errorf("%d bytes: %s, want %s", n, got, want)
		}
	}
	for d, want := range map[time.Duration]string{
		-time.Second: "0s", 59 * time.Second: "59s", 61 * time.Second: "1m01s", 2*time.Hour + 3*time.Minute: "2h03m", 50 * time.Hour: "2d2h",
	} {
		if got := ageOf(d); got != want {
			t.Errorf("%v: %s, want %s", d, got, want)
		}
	}
	for identity, want := range map[string]string{
		"spiffe://ambassador/client/web": "web", "spiffe://example.org/ns/prod/sa/web": "spiffe://example.org/ns/prod/sa/web", "web.example.org": "web.example.org",
	} {
		if got := shortName(identity); got != want {
			t.Errorf("%s is shown as %s, want %s", identity, got, want)
		}
	}
}
