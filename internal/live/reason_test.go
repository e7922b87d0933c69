package live

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// documented are the words in the first column of a table of close-reasons.md, in
// its order.
func documented(t *testing.T, heading string) []string {
	t.Helper()
	text, err := os.ReadFile("../../docs/close-reasons.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(text), "\n## "+heading+"\n")
	if !found {
		t.Fatalf("no heading %q", heading)
	}
	section, _, _ := strings.Cut(rest, "\n## ")
	var words []string
	for _, m := range regexp.MustCompile("(?m)^\\| `([^`]+)` \\|").FindAllStringSubmatch(section, -1) {
		words = append(words, m[1])
	}
	return words
}

func TestEveryReasonIsDocumented(t *testing.T) {
	var words []string
	for r := range Reasons {
		words = append(words, r.String())
	}
	if got := documented(t, "Streams"); !slices.Equal(got, words) {
		t.Errorf("documented are\n%v, the words are\n%v", got, words)
	}
	if got := documented(t, "Connections that became no session"); !slices.Equal(got, HandshakeWords) {
		t.Errorf("documented are\n%v, the words are\n%v", got, HandshakeWords)
	}
}

func TestWordIsThatOfOneReason(t *testing.T) {
	for r := range Reasons {
		if got, known := ParseReason(r.String()); !known || got != r {
			t.Errorf("%q is %v, %v; want %d", r, got, known, r)
		}
		if !regexp.MustCompile(`^[a-z]+(-[a-z]+)*$`).MatchString(r.String()) {
			t.Errorf("%q is no word for a label", r)
		}
	}
	for _, word := range []string{"", "unknown", "Killed", "backend"} {
		if r, known := ParseReason(word); known {
			t.Errorf("%q is %v", word, r)
		}
	}
	if got := (Reasons + 1).String(); got != "unknown" {
		t.Errorf("a reason of no meaning is %q", got)
	}
}

func TestReasonOfADial(t *testing.T) {
	dial := func(err error) error { return &net.OpError{Op: "dial", Net: "tcp", Err: err} }
	for err, want := range map[error]Reason{
		nil: Running,
		dial(os.NewSyscallError("connect", syscall.ECONNREFUSED)): BackendRefused,
		dial(os.NewSyscallError("connect", syscall.EHOSTUNREACH)): BackendUnreachable,
		dial(os.NewSyscallError("connect", syscall.ENETUNREACH)):  BackendUnreachable,
		dial(os.NewSyscallError("connect", syscall.ETIMEDOUT)):    BackendTimeout,
		dial(os.ErrDeadlineExceeded):                              BackendTimeout,
		context.DeadlineExceeded:                                  BackendTimeout,
		dial(&net.DNSError{IsNotFound: true}):                     BackendUnknown,
		dial(&net.DNSError{IsTimeout: true}):                      BackendUnknown,
		dial(os.NewSyscallError("socket", syscall.EMFILE)):        BackendFailed,
		errors.New("something else"):                              BackendFailed,
	} {
		if got := DialReason(fmt.Errorf("trying: %w", err)); err != nil && got != want {
			t.Errorf("%v is %v, want %v", err, got, want)
		}
	}
	if got := DialReason(nil); got != Running {
		t.Errorf("no error is %v", got)
	}
}
