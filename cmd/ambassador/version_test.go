package main

import (
	"runtime/debug"
	"testing"

	"ambassador/internal/admin"
)

func TestBuildFromWhatTheGoCommandNoted(t *testing.T) {
	git := []debug.BuildSetting{
		{Key: "vcs", Value: "git"},
		{Key: "vcs.revision", Value: "0123abc"},
		{Key: "vcs.time", Value: "2026-01-02T03:04:05Z"},
		{Key: "vcs.modified", Value: "true"},
	}
	for name, c := range map[string]struct {
		linked admin.Build
		module string
		want   admin.Build
	}{
		"a clone": {
			admin.Build{},
			"(devel)",
			admin.Build{Commit: "0123abc", Modified: true, Time: "2026-01-02T03:04:05Z"},
		},
		"a module": {
			admin.Build{},
			"v1.2.3",
			admin.Build{Version: "v1.2.3", Commit: "0123abc", Modified: true, Time: "2026-01-02T03:04:05Z"},
		},
		"the linker's version and commit": {
			admin.Build{Version: "v2", Commit: "fedc"},
			"v1.2.3",
			admin.Build{Version: "v2", Commit: "fedc"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got := c.linked
			noted(&got, &debug.BuildInfo{Main: debug.Module{Version: c.module}, Settings: git})
			if got != c.want {
				t.Errorf("%+v, want %+v", got, c.want)
			}
		})
	}
}
