package admin

import "ambassador/internal/live"

// counted finds or makes the counts of a name.
func counted(all map[string]*Counts, name string) *Counts {
	c := all[name]
	if c == nil {
		c = &Counts{Ended: map[string]uint64{}}
		all[name] = c
	}
	return c
}

func addAccount(c *Counts, a *live.Account) {
	c.Streams += a.Streams
	c.Opened += a.Opened
	c.BytesIn += a.Bytes.In
	c.BytesOut += a.Bytes.Out
	for why, n := range a.Ended {
		if n > 0 {
			c.Ended[live.Reason(why).String()] += n
		}
	}
}
