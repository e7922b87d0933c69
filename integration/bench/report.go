package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// report prints the tables.
func (h *host) report(w io.Writer) error {
	if len(h.samples) == 0 {
		return errors.New("nothing was measured")
	}
	var b strings.Builder
	for _, line := range h.about {
		fmt.Fprintf(&b, "- %s\n", line)
	}
	var measured []work // not all, if the run was stopped
	for _, w := range h.works {
		if slices.ContainsFunc(h.samples, func(m sample) bool { return m.Work == w.name }) {
			measured = append(measured, w)
		}
	}
	h.summary(&b, measured)
	for _, w := range measured {
		h.details(&b, w)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// record writes what every measurement found.
func (h *host) record(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "\t")
	return e.Encode(struct {
		About   []string `json:"about"`
		Scale   effort   `json:"scale"`
		Samples []sample `json:"samples"`
	}{h.about, h.scale, h.samples})
}

// series is what a system yielded for a figure of a work.
func (h *host) series(w work, s system, f figure) series {
	all := series{}
	for _, m := range h.samples {
		if v, ok := m.Values[f.name]; ok && m.Work == w.name && m.System == s.name {
			all[m.Round] = v
		}
	}
	return all
}

// bestPeer is the best encrypted peer of each round, and who that was.
func (h *host) bestPeer(w work, f figure) (series, []string) {
	peers := map[string]series{}
	for _, s := range h.systems {
		if s.kind == encrypted {
			peers[s.name] = h.series(w, s, f)
		}
	}
	return best(peers, f.less)
}

// summary is one line for each figure that is compared: our systems beside the
// best encrypted peer.
func (h *host) summary(b *strings.Builder, works []work) {
	var mine []system
	for _, s := range h.systems {
		if s.kind == ours {
			mine = append(mine, s)
		}
	}
	if len(mine) == 0 {
		return
	}
	head := []string{"work", "figure", "better"}
	for _, s := range mine {
		head = append(head, s.name, s.name+" ÷ best")
	}
	head = append(head, "best encrypted peer", "which")
	if len(mine) > 1 {
		head = append(head, mine[0].name+" ÷ "+mine[1].name)
	}
	fmt.Fprintln(b)
	row(b, head...)
	row(b, slices.Repeat([]string{"---"}, len(head))...)
	for _, w := range works {
		for _, f := range w.figures {
			if f.compared {
				h.summarize(b, mine, w, f)
			}
		}
	}
}

func (h *host) summarize(b *strings.Builder, mine []system, w work, f figure) {
	peer, who := h.bestPeer(w, f)
	cells := []string{w.name, f.name, better(f)}
	for _, s := range mine {
		own := h.series(w, s, f)
		cells = append(cells, number(median(own.values())), ratio(own.over(peer)))
	}
	cells = append(cells, number(median(peer.values())), strings.Join(who, ", "))
	if len(mine) > 1 {
		cells = append(cells, ratio(h.series(w, mine[0], f).over(h.series(w, mine[1], f))))
	}
	row(b, cells...)
}

func better(f figure) string {
	if f.less {
		return "less"
	}
	return "more"
}

// details is a work's table: a line for each system.
func (h *host) details(b *strings.Builder, w work) {
	fmt.Fprintf(b, "\n**%s**: %s\n\n", w.name, w.what)
	head := []string{"system"}
	for _, f := range w.figures {
		if head = append(head, f.name); f.compared && !w.ours {
			head = append(head, "÷ best")
		}
	}
	head = append(head, fmt.Sprintf("CPU %s/%s", w.unit.cpu, w.unit.name), "rounds")
	row(b, head...)
	row(b, slices.Repeat([]string{"---"}, len(head))...)
	for _, s := range h.systems {
		if w.suits(s) {
			h.detail(b, w, s)
		}
	}
}

func (h *host) detail(b *strings.Builder, w work, s system) {
	cells := []string{s.name}
	for _, f := range w.figures {
		own := h.series(w, s, f)
		if cells = append(cells, number(median(own.values()))); f.compared && !w.ours {
			peer, _ := h.bestPeer(w, f)
			cells = append(cells, ratio(own.over(peer)))
		}
	}
	var cpu []float64
	rounds := 0
	for _, m := range h.samples {
		if m.Work == w.name && m.System == s.name {
			if rounds++; m.CPU != nil {
				cpu = append(cpu, *m.CPU)
			}
		}
	}
	row(b, append(cells, number(median(cpu)), fmt.Sprint(rounds))...)
}

func row(b *strings.Builder, cells ...string) {
	fmt.Fprintf(b, "| %s |\n", strings.Join(cells, " | "))
}
