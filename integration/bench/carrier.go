package main

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

// roundTrip is that of the wide-area works.
const roundTrip = 50 * time.Millisecond

// inFlight bounds the bytes under way in one direction of a connection: far more
// than the path holds at any rate measured here, so that the carrier adds time
// and nothing else.
const inFlight = 64 << 20

// carrier is a long way: a TCP proxy that gives every byte to the other side one
// half of a round trip later. Kernels without netem have no other.
//
// It cannot delay TCP's own handshake, which on a real path costs a round trip
// before the first byte may go. What the dialling side sends is held back by as
// much instead.
type carrier struct {
	l     net.Listener
	to    string
	trip  time.Duration
	ctx   context.Context
	cut   context.CancelFunc
	conns sync.WaitGroup
}

func startCarrier(to string, trip time.Duration) (*carrier, error) {
	l, err := listen()
	if err != nil {
		return nil, err
	}
	c := &carrier{l: l, to: to, trip: trip}
	c.ctx, c.cut = context.WithCancel(context.Background())
	c.conns.Go(c.accept)
	return c, nil
}

// stop cuts all connections.
func (c *carrier) stop() error {
	err := c.l.Close()
	c.cut()
	c.conns.Wait()
	return err
}

func (c *carrier) accept() {
	for {
		near, err := c.l.Accept()
		if err != nil {
			return // closed
		}
		c.conns.Go(func() { c.carry(near.(*net.TCPConn)) })
	}
}

func (c *carrier) carry(near *net.TCPConn) {
	defer near.Close()
	accepted := time.Now()
	conn, err := net.Dial("tcp", c.to)
	if err != nil {
		reset(near)
		return
	}
	far := conn.(*net.TCPConn)
	defer far.Close()
	defer context.AfterFunc(c.ctx, func() { near.Close(); far.Close() })()
	var both sync.WaitGroup
	both.Go(func() { delay(far, near, accepted.Add(c.trip), c.trip/2) })
	both.Go(func() { delay(near, far, accepted, c.trip/2) })
	both.Wait()
}

// delay copies from src to dst, each byte after oneWay, as if none had been sent
// before begin. An end and a reset come as late as bytes do.
func delay(dst, src *net.TCPConn, begin time.Time, oneWay time.Duration) {
	q := newQueue(inFlight)
	var reader sync.WaitGroup
	reader.Go(func() {
		buf := make([]byte, 128<<10)
		for {
			n, err := src.Read(buf)
			sent := time.Now()
			if sent.Before(begin) {
				sent = begin
			}
			if n > 0 && !q.put(parcel{due: sent.Add(oneWay), bytes: append([]byte(nil), buf[:n]...)}) {
				return
			}
			if err != nil {
				q.put(parcel{due: sent.Add(oneWay), end: err})
				return
			}
		}
	})
	defer reader.Wait()
	defer q.close()
	for {
		p := q.take()
		time.Sleep(time.Until(p.due))
		switch {
		case p.end == io.EOF:
			_ = dst.CloseWrite() // fails if dst was reset, and the other direction says so
			return
		case p.end != nil:
			reset(dst)
			return
		}
		if _, err := dst.Write(p.bytes); err != nil {
			reset(src)
			return
		}
	}
}

// reset closes a connection with an RST (SO_LINGER of zero, socket(7)).
func reset(c *net.TCPConn) {
	_ = errors.Join(c.SetLinger(0), c.Close()) // fails if it is closed already
}

// parcel is bytes under way, or the end that comes behind them.
type parcel struct {
	due   time.Time
	bytes []byte
	end   error
}

// queue holds parcels, up to a number of bytes.
type queue struct {
	mu      sync.Mutex
	changed sync.Cond
	limit   int
	bytes   int
	parcels []parcel
	closed  bool
}

func newQueue(limit int) *queue {
	q := &queue{limit: limit}
	q.changed.L = &q.mu
	return q
}

// put waits for room. It returns false when the queue is closed.
func (q *queue) put(p parcel) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	for q.bytes > q.limit && !q.closed {
		q.changed.Wait()
	}
	q.bytes += len(p.bytes)
	q.parcels = append(q.parcels, p)
	q.changed.Broadcast()
	return !q.closed
}

// take waits for a parcel.
func (q *queue) take() parcel {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.parcels) == 0 {
		q.changed.Wait()
	}
	p := q.parcels[0]
	q.parcels[0] = parcel{}
	q.parcels = q.parcels[1:]
	q.bytes -= len(p.bytes)
	q.changed.Broadcast()
	return p
}

func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.changed.Broadcast()
}
