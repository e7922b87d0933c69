package mux

import (
	"fmt"
	"runtime"
	"time"
)

// Who writes: whoever finds nobody writing writes its batch itself, which saves
// waking another goroutine. What comes meanwhile is the next batch, and the
// flusher's.
//
// The turn is out.writing: whoever sets it is the one writer. A writer that finds
// more gathered when it is done keeps it set and sets out.handed as well: the turn
// is then the flusher's, which clears it when nothing is left. A frame that may not
// wait for its own writing, such as the reader's, hands over at once.

// errClosing is for writers of a session that this side is closing.
var errClosing = fmt.Errorf("%w: %w", ErrSessionLost, ErrClosed)

// hand leaves what was gathered to the flusher. mu is held, and released.
func (o *out) hand() error {
	if !o.writing {
		o.writing, o.handed = true, true
		o.work.Signal()
	}
	o.mu.Unlock()
	return nil
}

// push sees to it that what was gathered is written. mu is held, and released.
func (o *out) push() error {
	if o.writing {
		o.mu.Unlock()
		return nil
	}
	o.writing = true
	if o.busy {
		// Others are about to add theirs: let them, for one system call in all.
		o.mu.Unlock()
		runtime.Gosched()
		o.mu.Lock()
	}
	err := o.write()
	if err == nil && o.gathered() {
		o.handed = true
		o.work.Signal()
	} else {
		o.writing = false
		if o.finish {
			o.work.Signal()
		}
	}
	o.mu.Unlock()
	return err
}

func (o *out) gathered() bool { return o.urgent != nil || o.bulk != nil }

// write sends one batch. mu is held, and released meanwhile; writing is set.
func (o *out) write() error {
	if o.closed {
		return o.failure()
	}
	urgent, bulk := o.urgent, o.bulk
	o.urgent, o.bulk = nil, nil
	o.turn++
	o.mu.Unlock()

	var u, k []byte
	frames := 0
	if urgent != nil {
		u, frames = urgent.bytes, urgent.frames
	}
	if bulk != nil {
		k, frames = bulk.bytes, frames+bulk.frames
	}
	began := time.Now()
	err := o.send(u, k)
	took := time.Since(began)
	wasBulk := bulk != nil
	urgent.free()
	bulk.free()

	o.mu.Lock()
	o.busy = frames > 1
	if wasBulk {
		o.adapt(len(u)+len(k), took)
	}
	if err != nil {
		if !o.closed {
			o.err, o.closed = err, true
			o.work.Broadcast()
		}
		o.room.Broadcast()
		return o.failure()
	}
	o.room.Signal()
	return nil
}

// flush is the body of the flusher goroutine. It ends when the connection fails
// or out is closed, and returns the error of the connection.
func (o *out) flush() error {
	defer close(o.done)
	o.mu.Lock()
	defer o.mu.Unlock()
	for {
		for !o.handed && !o.closed && !(o.finish && !o.writing) {
			o.work.Wait()
		}
		o.handed, o.writing = false, true
		for o.gathered() && !o.closed {
			if o.busy && o.bulk == nil {
				o.mu.Unlock()
				runtime.Gosched()
				o.mu.Lock()
			}
			if err := o.write(); err != nil {
				return o.err
			}
		}
		o.writing = false
		if o.closed {
			return o.err
		}
		if o.finish {
			o.closed = true
			o.mu.Unlock()
			o.bye()
			o.mu.Lock()
			return nil
		}
	}
}

// finishUp has what is gathered written, then the goodbye said, and takes no
// more. done is closed when that is over or the connection has failed.
func (o *out) finishUp() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.finish = true
	o.work.Broadcast()
	o.room.Broadcast()
}

// close ends the flusher once its write in progress returns, which the caller
// brings about by closing the connection.
func (o *out) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed = true
	o.work.Broadcast()
	o.room.Broadcast()
}

func (o *out) failure() error {
	if o.err != nil {
		return fmt.Errorf("%w: %w", ErrSessionLost, o.err)
	}
	return errClosing
}
