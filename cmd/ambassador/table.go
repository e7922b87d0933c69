package main

import (
	"bufio"
	"io"
	"strings"
	"unicode/utf8"
)

// table is rows of cells in columns, which are as wide as their widest cell. It is
// text/tabwriter's work for ten thousand rows in a moment.
type table struct {
	head  []string
	rows  [][]string
	right map[int]bool // columns of numbers
}

func newTable(head ...string) *table { return &table{head: head, right: map[int]bool{}} }

// numbers sets columns to the right.
func (t *table) numbers(columns ...int) *table {
	for _, c := range columns {
		t.right[c] = true
	}
	return t
}

func (t *table) add(cells ...string) { t.rows = append(t.rows, cells) }

// gap is between two columns.
const gap = "  "

func (t *table) write(w io.Writer, p paint) error {
	widths := t.widths()
	out := bufio.NewWriter(w)
	t.line(out, t.head, widths, p.dim)
	for _, row := range t.rows {
		t.line(out, row, widths, p.cell)
	}
	return out.Flush()
}

// widths are those of the columns. One that is empty in all rows is left out.
func (t *table) widths() []int {
	widths := make([]int, len(t.head))
	for _, row := range t.rows {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	for i, n := range widths {
		if n > 0 || len(t.rows) == 0 {
			widths[i] = max(n, utf8.RuneCountInString(t.head[i]))
		}
	}
	return widths
}

func (t *table) line(out *bufio.Writer, cells []string, widths []int, paint func(string) string) {
	pad, first := 0, true
	for i, cell := range cells {
		if widths[i] == 0 {
			continue
		}
		if !first {
			pad += len(gap)
		}
		first = false
		room := widths[i] - utf8.RuneCountInString(cell)
		if t.right[i] {
			pad += room
			room = 0
		}
		if cell != "" {
			out.WriteString(strings.Repeat(" ", pad)) // nothing is behind the last cell
			out.WriteString(paint(cell))
			pad = 0
		} else {
			room = widths[i]
			if t.right[i] {
				room = 0
			}
		}
		pad += room
	}
	out.WriteByte('\n')
}
