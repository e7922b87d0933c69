package relay

import "sync"

// sizes are the buffers' sizes in bytes. The smallest holds what a chatty
// protocol sends at once; the largest is where one system call for more bytes
// no longer costs noticeably less per byte.
var sizes = [...]int{4 << 10, 16 << 10, 64 << 10, 128 << 10}

// smallReads is how many reads in a row must fit the next smaller size before a
// direction goes down to it.
const smallReads = 4

// buffer is a pooled buffer. The pools hold pointers to it: a slice would be
// allocated anew for each Put.
type buffer struct {
	b    []byte
	size uint8 // index in sizes
}

const largest = uint8(len(sizes) - 1)

var pools [len(sizes)]sync.Pool

func (b *buffer) put() { pools[b.size].Put(b) }

// sizer follows one direction's flow: up at once when a read fills the buffer,
// down when reads stay small.
type sizer struct {
	size  uint8 // index in sizes
	small uint8 // reads in a row that would have fitted the next smaller size
}

func (s *sizer) take() *buffer {
	if b, ok := pools[s.size].Get().(*buffer); ok {
		return b
	}
	return &buffer{b: make([]byte, sizes[s.size]), size: s.size}
}

// saw notes that a read gave n bytes in a buffer of the current size.
func (s *sizer) saw(n int) {
	switch {
	case n == sizes[s.size]:
		s.small = 0
		s.size = min(s.size+1, largest)
	case s.size == 0 || n > sizes[s.size-1]:
		s.small = 0
	default:
		s.small++
		if s.small == smallReads {
			s.size, s.small = s.size-1, 0
		}
	}
}
