package cli

import (
	"io"
	"os"
	"strings"

	"github.com/rivo/uniseg"
	"golang.org/x/term"
)

// wrapper breaks lines between words (Unicode's UAX 14) where the terminal would break them anywhere. A word is held back until it is
// known where it ends. Lines of code, between fences of Markdown, are left as they are.
type wrapper struct {
	w     io.Writer
	width func() int // columns of the terminal; 0 if that is not known
	held  string     // the begin of a word
	col   int        // columns that the line has taken
	line  string     // its begin, where a fence would be
	fence string     // that closes the code; empty outside
	err   error
}

// wordwrapped is where text from the model goes that words are not to be broken in: to a terminal line by line, elsewhere
// as it is. flush writes what is held back.
func wordwrapped(out io.Writer, off bool) (to io.Writer, flush func() error) {
	f, ok := terminal(out)
	if !ok || off {
		return textOutput(out), func() error { return nil }
	}
	w := &wrapper{w: out, width: func() int { return columns(f) }}
	return &safeWriter{w: w}, w.flush
}

// columns is how much of a terminal's width is used, 0 if it does not say. The last column stays free, since terminals differ
// in where a line break behind it leads.
func columns(f *os.File) int {
	w, _, err := term.GetSize(int(f.Fd()))
	if err != nil || w < 2 {
		return 0
	}
	return w - 1
}

func (w *wrapper) Write(p []byte) (int, error) {
	width := w.width()
	w.held += string(p)
	for w.held != "" && w.err == nil {
		word, rest, _, _ := uniseg.FirstLineSegmentInString(w.held, -1)
		if rest == "" && !strings.HasSuffix(word, "\n") && w.fence == "" && width > 0 {
			break
		}
		w.held = rest
		w.put(word, width)
	}
	return len(p), w.err
}

// flush writes the last word. A text may go on behind it.
func (w *wrapper) flush() error {
	word := w.held
	w.held = ""
	w.put(word, w.width())
	return w.err
}

func (w *wrapper) print(text string) {
	if w.err == nil && text != "" {
		_, w.err = io.WriteString(w.w, text)
	}
}

// put writes a word with the white space behind it, on a new line if it needs one.
func (w *wrapper) put(word string, width int) {
	if len(w.line) < maxFenceLine {
		w.line += word
	}
	text := strings.TrimRight(word, " \t\n")
	size := w.size(text)
	if w.fence != "" || width == 0 {
		w.print(word)
		w.col += size
	} else {
		if w.col > 0 && text != "" && w.col+size > width {
			w.newline()
			size = w.size(text)
		}
		if size > width {
			w.pieces(text, width)
		} else {
			w.print(text)
			w.col += size
		}
		w.spaces(word[len(text):], width)
	}
	if strings.HasSuffix(word, "\n") {
		w.col = 0
		w.fences()
		w.line = ""
	}
}

func (w *wrapper) newline() {
	w.print("\n")
	w.col = 0
}

// pieces writes a word that is longer than a line.
func (w *wrapper) pieces(text string, width int) {
	for state := -1; text != ""; {
		var char string
		var size int
		char, text, size, state = uniseg.FirstGraphemeClusterInString(text, state)
		if w.col > 0 && w.col+size > width {
			w.newline()
		}
		w.print(char)
		w.col += size
	}
}

// spaces writes white space, as far as there is room: what is left over would stand in front of the next line.
func (w *wrapper) spaces(text string, width int) {
	for _, r := range text {
		size := 1
		if r == '\t' {
			size = w.size("\t")
		}
		if r != '\n' && w.col+size > width {
			continue
		}
		w.print(string(r))
		w.col += size
	}
}

const tabStop = 8

// size returns the columns that a text takes from here on.
func (w *wrapper) size(text string) int {
	col := w.col
	for i, part := range strings.Split(text, "\t") {
		if i > 0 {
			col += tabStop - col%tabStop
		}
		col += uniseg.StringWidth(part)
	}
	return col - w.col
}

// maxFenceLine is how much of a line's begin is looked at for a fence.
const maxFenceLine = 16

// fences looks at a line that is over: one that begins with a fence begins or ends code.
func (w *wrapper) fences() {
	text := strings.TrimLeft(w.line, " ")
	switch {
	case w.fence != "":
		if strings.HasPrefix(text, w.fence) && strings.Trim(text, w.fence+" \n") == "" {
			w.fence = ""
		}
	case strings.HasPrefix(text, "```"):
		w.fence = "```"
	case strings.HasPrefix(text, "~~~"):
		w.fence = "~~~"
	}
}
