package admin

import "testing"

func TestOnlyTheOwnUserAndRootControl(t *testing.T) {
	for _, c := range []struct {
		uid uint32
		own int
		in  bool
	}{{0, 1000, true}, {1000, 1000, true}, {1001, 1000, false}, {1000, 0, false}, {0, 0, true}, {65534, 1000, false}} {
		if err := judgeUser(c.uid, c.own); (err == nil) != c.in {
			t.Errorf("user %d of an ambassador of %d: %v", c.uid, c.own, err)
		}
	}
}
