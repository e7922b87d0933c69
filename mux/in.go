package mux

import (
	"io"
)

// in hands the received bytes on to yamux, and shows each frame's header to the
// session first, which may change it (see Session.received).
type in struct {
	src      io.Reader
	received func(h *frameHeader) error
	heard    func() // any byte counts as a sign of life

	header     frameHeader
	headerLeft int    // bytes of header that were not handed on yet
	bodyLeft   uint32 // bytes of the frame's body still to come
}

func (r *in) Read(p []byte) (int, error) {
	if r.headerLeft == 0 && r.bodyLeft > 0 {
		if uint32(len(p)) > r.bodyLeft {
			p = p[:r.bodyLeft]
		}
		n, err := r.src.Read(p)
		r.bodyLeft -= uint32(n)
		if n > 0 {
			r.heard()
		}
		return n, err
	}
	if r.headerLeft == 0 {
		if err := r.next(); err != nil {
			return 0, err
		}
	}
	n := copy(p, r.header[headerSize-r.headerLeft:])
	r.headerLeft -= n
	return n, nil
}

func (r *in) next() error {
	if _, err := io.ReadFull(r.src, r.header[:]); err != nil {
		return err
	}
	r.heard()
	if err := r.received(&r.header); err != nil {
		return err
	}
	r.headerLeft = headerSize
	r.bodyLeft = r.header.body()
	return nil
}
