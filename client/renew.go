package client

import (
	"time"

	"go.uber.org/zap"
)

// renewPause is between attempts to make a session beside one that works.
const renewPause = time.Second

// Renew makes a new session with TLSConfig as it is now, beside the live one.
// New streams go to the new one, and the old one ends after its last stream.
// Without a live session there is nothing to do: the next one is made so anyway.
// It does not wait.
func (c *Client) Renew(reason string) {
	c.init()
	if !c.ports.begin() {
		return
	}
	go func() {
		defer c.ports.end()
		c.keeper.renew(reason)
	}()
}

// renewWorn is Renew for a session that is still the live one: of those that only
// drain the keys wear out too.
func (k *keeper) renewWorn(s *session, reason string) {
	k.mu.Lock()
	live := k.live == s
	k.mu.Unlock()
	if live {
		k.c.Renew(reason)
	}
}

func (k *keeper) renew(reason string) {
	for k.c.ctx.Err() == nil {
		k.mu.Lock()
		live := k.live
		k.mu.Unlock()
		if live == nil {
			return
		}
		made, err := k.attempt()
		if err == nil {
			made.beside, made.renews = live.Session, reason
			k.offer(made)
			if k.going.Err() != nil {
				k.closeStandby() // nobody takes it any more
			}
			return
		}
		k.c.log.Debug("no session yet beside the live one", zap.String("reason", reason), zap.Error(err))
		select {
		case <-time.After(renewPause):
		case <-live.Done():
		case <-k.c.ctx.Done():
		}
	}
}

// offer hands a session over that was made beside the live one.
func (k *keeper) offer(made *session) {
	for {
		select {
		case k.standby <- made:
			return
		default:
		}
		select {
		case other := <-k.standby: // of one that is live no more
			other.Close()
		default:
		}
	}
}
