package mux

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"
)

// The kinds of control message.
const (
	KindHello   = "hello"   // client: the first message
	KindWelcome = "welcome" // provider: the answer, with the links granted
	KindRefuse  = "refuse"  // provider: the answer to a client that it does not serve, or not any more, with a reason
	KindLinks   = "links"   // provider: the links granted have changed
	KindRenew   = "renew"   // provider: make a new session beside this one, and open new streams there
	KindDrain   = "drain"   // provider: open no more streams here, connect anew
	KindCheck   = "check"   // client: say whether the backends of the links granted answer; for a provider that says in its welcome that it does
	KindHealth  = "health"  // provider: the answer to a check. One answer stands for all checks before it
)

// Message is one line of JSON on the control stream. Fields that a side does
// not know are ignored, so that later versions can add some.
type Message struct {
	Kind    string  `json:"kind"`
	Version string  `json:"version,omitempty"` // of the sender's program; hello and welcome
	Links   []Offer `json:"links,omitempty"`   // welcome and links
	Reason  string  `json:"reason,omitempty"`  // refuse; for a person
	// Time is the provider's clock; welcome. A client sees by it that one of the two
	// clocks is wrong. It is the zero time from a version that does not say it.
	Time   time.Time `json:"time,omitzero"`
	Checks bool      `json:"checks,omitempty"` // welcome: the provider answers checks
	// Visit says that the client only looks, for a person, and is gone again within
	// seconds; hello.
	Visit bool `json:"visit,omitempty"`
	// MaxAge is how old what a check is answered with may be, in milliseconds. The
	// provider dials no port of a backend more than once a second for it.
	MaxAge int64    `json:"max_age_ms,omitempty"`
	Health []Health `json:"health,omitempty"` // health
}

// Health is what the provider knows of the backend of a link's port.
type Health struct {
	Link   string `json:"link"`
	Port   uint16 `json:"port"`
	OK     bool   `json:"ok"`               // the last dial reached it
	Reason string `json:"reason,omitempty"` // why not: a close reason
	Age    int64  `json:"age_ms"`           // of that dial, in milliseconds
	Took   int64  `json:"took_us"`          // how long it took, in microseconds
}

// Offer is a link that the provider grants to the client.
type Offer struct {
	Name  string   `json:"name"`
	Ports []uint16 `json:"ports"`
}

// maxLine bounds one control message in bytes: some thousand links with a
// dozen ports each.
const maxLine = 1 << 20

// Control is the first stream of a session. One goroutine may receive while
// others send.
type Control struct {
	stream *Stream
	unread []byte // received behind the last message; nil when there is nothing

	mu sync.Mutex // one line at a time
}

// openControl opens or accepts the control stream, which must come first.
func (s *Session) openControl(ctx context.Context) error {
	// A peer that keeps us waiting is cut by the handshake's context.
	stop := context.AfterFunc(ctx, func() { s.fail(ctx.Err()) })
	defer stop()
	var st *Stream
	var err error
	if s.isClient {
		st, err = s.openStream(nil)
	} else {
		st, err = s.Accept()
	}
	if err != nil {
		return err
	}
	s.control = &Control{stream: st}
	return nil
}

// Send writes one message.
func (c *Control) Send(m Message) error {
	line, err := json.Marshal(m)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	_, err = c.stream.Write(append(line, '\n'))
	return err
}

// Receive waits for the next message. A line that is no message is ErrProtocol,
// and so is one of more than 1 MiB; the session's end is ErrSessionLost.
func (c *Control) Receive() (Message, error) {
	for {
		if line, rest, found := bytes.Cut(c.unread, []byte{'\n'}); found {
			c.unread = rest
			if len(rest) == 0 {
				c.unread = nil // an idle session holds no buffer
			}
			return parseMessage(line)
		}
		if len(c.unread) > maxLine {
			return Message{}, fmt.Errorf("%w: control message of more than %d bytes", ErrProtocol, maxLine)
		}
		if err := c.readMore(); err != nil {
			return Message{}, err
		}
	}
}

func (c *Control) readMore() error {
	if err := c.stream.WaitReadable(); err != nil && err != io.EOF {
		return err
	}
	c.unread = slices.Grow(c.unread, 512)
	n, err := c.stream.Read(c.unread[len(c.unread):cap(c.unread)])
	c.unread = c.unread[:len(c.unread)+n]
	if err == io.EOF {
		err = fmt.Errorf("%w: the control stream ended", ErrSessionLost)
	}
	return err
}

// Park waits for the next message without a goroutine: resume is called once, in
// a goroutine of its own, when Receive would not block. It returns false, and
// keeps nothing, when it would not block now.
func (c *Control) Park(resume func()) bool {
	return bytes.IndexByte(c.unread, '\n') < 0 && c.stream.Park(nil, resume)
}

func parseMessage(line []byte) (Message, error) {
	var m Message
	if err := json.Unmarshal(line, &m); err != nil {
		return Message{}, fmt.Errorf("%w: control message: %w", ErrProtocol, err)
	}
	return m, nil
}
