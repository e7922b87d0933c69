package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"unicode/utf8"

	"golang.org/x/term"
)

// screen is a terminal on which something is drawn again and again.
type screen struct{ file *os.File }

func screenOf(w io.Writer) *screen {
	if !isTerminal(w) {
		return nil
	}
	return &screen{file: w.(*os.File)}
}

// draw puts text in the place of what is there, in one write and without clearing
// the screen first, so that nothing flickers. What does not fit is cut off, and
// the last line says how much of it there is.
func (s *screen) draw(text string) error {
	width, height, err := term.GetSize(int(s.file.Fd()))
	if err != nil || width <= 0 || height <= 0 {
		width, height = 80, 24
	}
	_, err = io.WriteString(s.file, frame(text, width, height))
	return err
}

// frame is text for a terminal of a size, from its upper left corner on (ECMA-48:
// CUP, EL, ED).
func frame(text string, width, height int) string {
	lines := linesOf(text)
	if len(lines) >= height {
		left := len(lines) - (height - 2)
		lines = append(lines[:height-2:height-2], fmt.Sprintf("... and %d more lines", left))
	}
	var out strings.Builder
	out.WriteString("\x1b[H")
	for _, l := range lines {
		out.WriteString(cut(l, width))
		out.WriteString("\x1b[K\n")
	}
	out.WriteString("\x1b[J")
	return out.String()
}

// cut keeps a line within a width: colours take none of it.
func cut(line string, width int) string {
	if utf8.RuneCountInString(line) <= width {
		return line
	}
	seen, colour := 0, false
	for i := 0; i < len(line); {
		if line[i] == '\x1b' {
			colour = true
			i += strings.IndexByte(line[i:], 'm') + 1
			continue
		}
		if seen == width {
			if colour {
				return line[:i] + plain
			}
			return line[:i]
		}
		_, n := utf8.DecodeRuneInString(line[i:])
		i += n
		seen++
	}
	return line
}
