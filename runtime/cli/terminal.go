package cli

import (
	"io"
	"os"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/term"
)

// terminal returns the file behind a stream if it is a terminal.
func terminal(stream any) (*os.File, bool) {
	f, ok := stream.(*os.File)
	return f, ok && term.IsTerminal(int(f.Fd()))
}

// printable drops the control characters that could move the cursor, change colours or answer for the user when
// text from a model or a file reaches a terminal. Newlines and tabs stay.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r != '\n' && r != '\t' && unicode.IsControl(r) {
			return -1
		}
		return r
	}, s)
}

// safeWriter passes UTF-8 text on to a terminal without control characters. Bytes that are not UTF-8 are dropped
// too: terminals take some of them (0x9b) for control characters. A sequence may be split over writes.
type safeWriter struct {
	w    io.Writer
	part []byte // an unfinished UTF-8 sequence
}

func (s *safeWriter) Write(p []byte) (int, error) {
	text := append(s.part, p...)
	end := len(text)
	for i := 1; i < utf8.UTFMax && i <= len(text); i++ {
		if tail := text[len(text)-i:]; utf8.RuneStart(tail[0]) {
			if !utf8.FullRune(tail) {
				end -= i
			}
			break
		}
	}
	s.part = append([]byte(nil), text[end:]...)
	valid := strings.ToValidUTF8(string(text[:end]), "")
	if _, err := io.WriteString(s.w, printable(valid)); err != nil {
		return 0, err
	}
	return len(p), nil
}

// textOutput is where text from the model goes: unchanged into files and pipes, without control characters to a
// terminal.
func textOutput(out io.Writer) io.Writer {
	if _, ok := terminal(out); ok {
		return &safeWriter{w: out}
	}
	return out
}
