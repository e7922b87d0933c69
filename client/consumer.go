package client

import (
	"context"
	"errors"
	"fmt"

	"ambassador/internal/relay"

	"go.uber.org/zap"
)

// errConsumerGone: the consumer aborted while it waited to be served.
var errConsumerGone = errors.New("the consumer has gone")

// whilePresent is ctx, but it is also done when the consumer aborts its
// connection: what is got for it then has no taker. A FIN is no abort, as the
// consumer may still read. stop comes before the consumer is relayed.
func whilePresent(ctx context.Context, consumer *relay.TCPEnd) (_ context.Context, stop func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	forget := consumer.AfterAbort(func(err error) { cancel(fmt.Errorf("%w: %w", errConsumerGone, err)) })
	return ctx, func() {
		forget()
		cancel(nil)
	}
}

// turnAway resets a consumer that could not be served and logs why: as a
// warning, unless it left by itself. ctx is whilePresent's.
func (c *causes) turnAway(ctx context.Context, log *zap.Logger, consumer *relay.TCPEnd, where string, err error) {
	if cause := context.Cause(ctx); errors.Is(cause, errConsumerGone) {
		log.Debug("consumer gone before it was served", zap.Error(cause))
	} else {
		c.warn(log, "consumer reset", where, err)
	}
	consumer.Reset("not served")
}
