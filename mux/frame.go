package mux

import "encoding/binary"

// The yamux frame header, from its spec.md: version, type, flags, stream id
// and length, big endian.
const headerSize = 12

type frameType byte

const (
	typeData         frameType = 0
	typeWindowUpdate frameType = 1
	typePing         frameType = 2
	typeGoAway       frameType = 3
)

const (
	flagSYN uint16 = 1
	flagACK uint16 = 2
	flagFIN uint16 = 4
	flagRST uint16 = 8
)

// frameHeader is one header as it stands on the wire.
type frameHeader [headerSize]byte

func makeHeader(t frameType, flags uint16, id, length uint32) (h frameHeader) {
	h[1] = byte(t)
	h.setFlags(flags)
	binary.BigEndian.PutUint32(h[4:], id)
	binary.BigEndian.PutUint32(h[8:], length)
	return h
}

func (h *frameHeader) frameType() frameType { return frameType(h[1]) }
func (h *frameHeader) flags() uint16        { return binary.BigEndian.Uint16(h[2:]) }
func (h *frameHeader) setFlags(f uint16)    { binary.BigEndian.PutUint16(h[2:], f) }
func (h *frameHeader) stream() uint32       { return binary.BigEndian.Uint32(h[4:]) }
func (h *frameHeader) length() uint32       { return binary.BigEndian.Uint32(h[8:]) }

// body is the number of bytes that follow the header. Only data frames have
// any: in the others the length field means something else.
func (h *frameHeader) body() uint32 {
	if h.frameType() == typeData {
		return h.length()
	}
	return 0
}
