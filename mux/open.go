package mux

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"sync"
	"time"
)

// Transport is the protocol a backend is dialled with: an IP protocol number.
type Transport byte

// TCP is the only transport of this version.
const TCP Transport = 6

// Open is what a client says about a stream before its first byte.
type Open struct {
	Link      string        // the link's name, at most 255 bytes
	Port      uint16        // the link's port
	Transport Transport     // if zero, TCP
	Hold      time.Duration // how long the provider may go on trying to reach the backend; in whole milliseconds on the wire
	Consumer  string        // the consumer's address, for logs; at most 255 bytes
}

// The open header: version, length of what follows (two bytes), transport,
// port (two), hold in milliseconds (four), link and consumer, each behind a
// length byte. Big endian.
const (
	openVersion  = 1
	openPrefix   = 3
	openFixed    = 1 + 2 + 4
	openMaxBytes = openFixed + 2*(1+math.MaxUint8)
)

func (o Open) append(b []byte) ([]byte, error) {
	if len(o.Link) > math.MaxUint8 || len(o.Consumer) > math.MaxUint8 {
		return nil, fmt.Errorf("%w: link %.40q or consumer %.40q is longer than 255 bytes", ErrProtocol, o.Link, o.Consumer)
	}
	if o.Transport == 0 {
		o.Transport = TCP
	}
	hold := min(max(o.Hold.Milliseconds(), 0), math.MaxUint32)
	b = append(b, openVersion)
	b = binary.BigEndian.AppendUint16(b, uint16(openFixed+2+len(o.Link)+len(o.Consumer)))
	b = append(b, byte(o.Transport))
	b = binary.BigEndian.AppendUint16(b, o.Port)
	b = binary.BigEndian.AppendUint32(b, uint32(hold))
	b = append(append(b, byte(len(o.Link))), o.Link...)
	return append(append(b, byte(len(o.Consumer))), o.Consumer...), nil
}

var openHeaders = sync.Pool{New: func() any { return new([openMaxBytes]byte) }}

// readOpen reads one open header and not a byte more. A header that cannot be
// understood is ErrProtocol.
func readOpen(r io.Reader) (Open, error) {
	buf := openHeaders.Get().(*[openMaxBytes]byte)
	defer openHeaders.Put(buf)
	if _, err := io.ReadFull(r, buf[:openPrefix]); err != nil {
		return Open{}, err
	}
	if buf[0] != openVersion {
		return Open{}, fmt.Errorf("%w: open header of version %d, expected %d", ErrProtocol, buf[0], openVersion)
	}
	n := int(binary.BigEndian.Uint16(buf[1:]))
	if n < openFixed+2 || n > openMaxBytes {
		return Open{}, fmt.Errorf("%w: open header of %d bytes, expected %d to %d", ErrProtocol, n, openFixed+2, openMaxBytes)
	}
	if _, err := io.ReadFull(r, buf[:n]); err != nil {
		return Open{}, err
	}
	return parseOpen(buf[:n])
}

func parseOpen(b []byte) (Open, error) {
	o := Open{
		Transport: Transport(b[0]),
		Port:      binary.BigEndian.Uint16(b[1:]),
		Hold:      time.Duration(binary.BigEndian.Uint32(b[3:])) * time.Millisecond,
	}
	link, rest, ok := cutCounted(b[openFixed:])
	if !ok {
		return Open{}, fmt.Errorf("%w: open header ends within the link's name", ErrProtocol)
	}
	consumer, rest, ok := cutCounted(rest)
	if !ok || len(rest) != 0 {
		return Open{}, fmt.Errorf("%w: open header's length does not match its fields", ErrProtocol)
	}
	o.Link, o.Consumer = string(link), string(consumer)
	if o.Transport != TCP {
		return Open{}, fmt.Errorf("%w: transport %d, expected %d (tcp)", ErrProtocol, o.Transport, TCP)
	}
	return o, nil
}

// cutCounted splits b after a field that stands behind its length byte.
func cutCounted(b []byte) (field, rest []byte, ok bool) {
	if len(b) == 0 || len(b)-1 < int(b[0]) {
		return nil, nil, false
	}
	return b[1 : 1+b[0]], b[1+b[0]:], true
}

// The provider's answer is one byte before the backend's first: statusOK, or a
// Refusal followed by a length byte and a reason, and then a reset.
const statusOK = 0

func appendRefusal(b []byte, r Refusal, reason string) []byte {
	if len(reason) > math.MaxUint8 {
		reason = reason[:math.MaxUint8]
	}
	return append(append(b, byte(r), byte(len(reason))), reason...)
}

// readStatus reads the provider's answer: nil, a *RefusedError, or what the
// read failed with.
func readStatus(r io.Reader) error {
	var b [1 + math.MaxUint8]byte
	if _, err := io.ReadFull(r, b[:1]); err != nil || b[0] == statusOK {
		return err
	}
	refused := &RefusedError{Refusal: Refusal(b[0])}
	// The reason is a courtesy: a refusal whose reason is cut off is still one.
	if _, err := io.ReadFull(r, b[:1]); err != nil {
		return refused
	}
	n, _ := io.ReadFull(r, b[1:1+int(b[0])])
	refused.Reason = string(b[1 : 1+n])
	return refused
}
