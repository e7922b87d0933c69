package main

import (
	"context"
	"fmt"
	"os"
	"regexp"
	"runtime"
	"strings"
	"time"
)

// describe says what is measured, and where: figures mean nothing without.
func (h *host) describe(ctx context.Context) {
	h.about = append(h.about, fmt.Sprintf("%s, %s", time.Now().UTC().Format(time.DateOnly), machine()))
	h.about = append(h.about, fmt.Sprintf("rounds: %d; medians over them, and ratios as the median of each round's (least–most)", h.rounds))
	if h.scale != 1 {
		h.about = append(h.about, fmt.Sprintf("every work at %v of its size: a first look, no measurement", float64(h.scale)))
	}
	var known []string
	for _, s := range h.systems {
		known = append(known, s.describe(ctx, h.dir))
	}
	h.about = append(h.about, "systems: "+strings.Join(known, ", "))
	for _, l := range h.leftOut {
		h.about = append(h.about, "left out: "+l)
	}
}

var modelName = regexp.MustCompile(`(?m)^model name\s*: (.+)$`)

// machine is the processor and the kernel.
func machine() string {
	model := "unknown processor"
	if m := modelName.FindStringSubmatch(text("/proc/cpuinfo")); m != nil {
		model = m[1]
	}
	return fmt.Sprintf("%s, %d cores, Linux %s, %s", model, runtime.NumCPU(), strings.TrimSpace(text("/proc/sys/kernel/osrelease")), runtime.Version())
}

// text is a file's, or nothing: it is for a person, who sees that it is missing.
func text(file string) string {
	b, err := os.ReadFile(file)
	if err != nil {
		return ""
	}
	return string(b)
}
