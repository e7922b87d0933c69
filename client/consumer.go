package client

import (
	"context"
	"errors"
	"fmt"

	"ambassador/internal/live"
	"ambassador/internal/relay"

	"go.uber.org/zap"
)

// Why a consumer is not waited for any more.
var (
	// errConsumerGone: it aborted while it waited to be served.
	errConsumerGone = errors.New("the consumer has gone")
	// errKilled: an operator ended it.
	errKilled = errors.New("ended by an operator")
)

// whilePresent is ctx, but it is also done when the consumer aborts its
// connection: what is got for it then has no taker. A FIN is no abort, as the
// consumer may still read. giveUp ends it for an operator. stop comes before the
// consumer is relayed.
func whilePresent(ctx context.Context, consumer *relay.TCPEnd) (_ context.Context, giveUp, stop func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	forget := consumer.AfterAbort(func(err error) { cancel(fmt.Errorf("%w: %w", errConsumerGone, err)) })
	return ctx, func() { cancel(errKilled) }, func() {
		forget()
		cancel(nil)
	}
}

// turnAway resets a consumer that could not be served and logs why: as a
// warning, unless it left by itself. ctx is whilePresent's.
func (c *causes) turnAway(ctx context.Context, log *zap.Logger, consumer *relay.TCPEnd, where string, why live.Reason, err error) {
	cause := context.Cause(ctx)
	switch {
	case errors.Is(cause, errConsumerGone):
		log.Debug("consumer gone before it was served", zap.Error(cause))
	case err == nil, errors.Is(cause, errKilled):
		log.Debug("consumer reset: an operator ended it")
	default:
		c.warn(log.With(zap.Stringer("close_reason", why)), "consumer reset", where, err)
	}
	consumer.Reset("not served")
}
