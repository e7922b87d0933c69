package mux

import "sync"

// The sizes of chunks in bytes: for chatter, a short frame, a full one on a slow
// path, and a full one.
const (
	smallChunk  = 4 << 10
	mediumChunk = 16 << 10
	slowChunk   = slowQuantum
	largeChunk  = maxFrame
)

// chunk is a pooled buffer with received bytes.
type chunk struct {
	whole []byte
	start int // of what is unread
	end   int
}

var chunkPools = map[int]*sync.Pool{
	smallChunk: newChunkPool(smallChunk), mediumChunk: newChunkPool(mediumChunk),
	slowChunk: newChunkPool(slowChunk), largeChunk: newChunkPool(largeChunk),
}

func newChunkPool(size int) *sync.Pool {
	return &sync.Pool{New: func() any { return &chunk{whole: make([]byte, size)} }}
}

// takeChunk gives an empty chunk for n bytes, at most a large one.
func takeChunk(n int) *chunk {
	size := largeChunk
	switch {
	case n <= smallChunk:
		size = smallChunk
	case n <= mediumChunk:
		size = mediumChunk
	case n <= slowChunk:
		size = slowChunk
	}
	c := chunkPools[size].Get().(*chunk)
	c.start, c.end = 0, 0
	return c
}

func (c *chunk) unread() []byte { return c.whole[c.start:c.end] }
func (c *chunk) space() int     { return len(c.whole) - c.end }
func (c *chunk) size() int      { return len(c.whole) }
func (c *chunk) free()          { chunkPools[len(c.whole)].Put(c) }

func (c *chunk) add(p []byte) { c.end += copy(c.whole[c.end:], p) }
