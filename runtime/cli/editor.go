package cli

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"strings"

	"golang.org/x/term"
)

// errCtrlC is what editor.read returns for Ctrl-C; Ctrl-D is io.EOF.
var errCtrlC = errors.New("ctrl-c")

// Prompts: of an entry, and of its further lines.
const (
	prompt    = ">>> "
	continued = "... "
)

// editor reads lines on a terminal, with editing keys and a history. The terminal is in raw mode only inside read; while an answer is printed it is in
// its usual mode and Ctrl-C is a signal.
type editor struct {
	in, out *os.File
	keys    *keyReader
	term    *term.Terminal
	history history
}

func newEditor(in, out *os.File) *editor {
	e := &editor{in: in, out: out, keys: &keyReader{f: in}}
	e.renew()
	return e
}

// renew starts with an empty line: x/term keeps the line that Ctrl-C abandoned, and the key itself.
func (e *editor) renew() {
	e.term = term.NewTerminal(struct {
		io.Reader
		io.Writer
	}{e.keys, e.out}, "")
	e.term.History = &e.history
}

// read returns what the user enters. Text pasted with line breaks is one entry. It returns errCtrlC, io.EOF for Ctrl-D
// on an empty line, or the context's error.
func (e *editor) read(ctx context.Context, prompt string) (string, error) {
	state, err := term.MakeRaw(int(e.in.Fd()))
	if err != nil {
		return "", err
	}
	defer term.Restore(int(e.in.Fd()), state)
	if width, height, err := term.GetSize(int(e.out.Fd())); err == nil && width > 0 {
		e.term.SetSize(width, height) // fails for absurd sizes only; the old one stays then
	}
	e.term.SetBracketedPasteMode(true)
	defer e.term.SetBracketedPasteMode(false)

	type entry struct {
		text string
		err  error
	}
	done := make(chan entry, 1) // the reader may outlive a cancelled read; the program ends then
	go func() {
		text, err := e.readLines(prompt)
		done <- entry{text, err}
	}()
	select {
	case got := <-done:
		return got.text, got.err
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

func (e *editor) readLines(prompt string) (string, error) {
	e.term.SetPrompt(prompt)
	e.keys.ctrlC = false
	var lines []string
	for {
		line, err := e.term.ReadLine()
		switch {
		case errors.Is(err, term.ErrPasteIndicator):
			lines = append(lines, line)
			e.term.SetPrompt(continued)
		case err != nil:
			e.renew()
			if e.keys.ctrlC {
				err = errCtrlC
			}
			return "", err
		default:
			return strings.Join(append(lines, line), "\n"), nil
		}
	}
}

// keyReader notes when Ctrl-C passes: x/term reports it like Ctrl-D.
type keyReader struct {
	f     *os.File
	ctrlC bool
}

func (k *keyReader) Read(p []byte) (int, error) {
	n, err := k.f.Read(p)
	k.ctrlC = k.ctrlC || bytes.IndexByte(p[:n], 3) >= 0
	return n, err
}

// history implements term.History, newest first, without blank and repeated entries.
type history struct {
	lines []string
	keep  func(line string) // for the next chats; may be nil
}

func (h *history) Add(line string) {
	if strings.TrimSpace(line) == "" || len(h.lines) > 0 && h.lines[len(h.lines)-1] == line {
		return
	}
	if len(h.lines) == maxHistory {
		h.lines = h.lines[1:]
	}
	h.lines = append(h.lines, line)
	if h.keep != nil {
		h.keep(line)
	}
}

func (h *history) Len() int          { return len(h.lines) }
func (h *history) At(idx int) string { return h.lines[len(h.lines)-1-idx] }
