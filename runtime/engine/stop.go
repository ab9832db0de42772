package engine

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Limits of stop strings.
const (
	maxStops     = 16
	maxStopBytes = 1024
)

// stopper holds text back as long as it may turn out to be the start of a stop string.
//
// The outcome does not depend on how the text is cut into tokens: the stop string that is complete first ends the
// text, and of several that end at the same byte the longest.
type stopper struct {
	stops []string
	held  []byte // text that is not emitted; it starts and ends between characters
}

func checkStops(stops []string) error {
	if len(stops) > maxStops {
		return &ParamError{Param: "stop", Msg: fmt.Sprintf("has %d strings, at most %d", len(stops), maxStops)}
	}
	for _, s := range stops {
		switch {
		case s == "":
			return &ParamError{Param: "stop", Msg: "must not contain an empty string"}
		case len(s) > maxStopBytes:
			return &ParamError{Param: "stop", Msg: fmt.Sprintf("has a string of %d bytes, at most %d", len(s), maxStopBytes)}
		case !utf8.ValidString(s):
			return &ParamError{Param: "stop", Msg: "must be valid UTF-8"}
		}
	}
	return nil
}

// push takes the next piece of text, whole characters, and appends to dst what is certain. It reports whether a stop
// string is complete; what follows it is lost then.
func (s *stopper) push(dst []byte, text string) ([]byte, bool) {
	if len(s.stops) == 0 {
		return append(dst, text...), false
	}
	from := len(s.held)
	s.held = append(s.held, text...)
	for end := from + 1; end <= len(s.held); end++ {
		if n := s.ending(s.held[:end]); n > 0 {
			dst = append(dst, s.held[:end-n]...)
			s.held = s.held[:0]
			return dst, true
		}
	}
	keep := s.beginning()
	certain := len(s.held) - keep
	dst = append(dst, s.held[:certain]...)
	s.held = s.held[:copy(s.held, s.held[certain:])]
	return dst, false
}

// flush appends what is held back: no more text comes.
func (s *stopper) flush(dst []byte) []byte {
	dst = append(dst, s.held...)
	s.held = s.held[:0]
	return dst
}

// ending returns the length of the longest stop string that text ends with, 0 for none.
func (s *stopper) ending(text []byte) int {
	longest := 0
	for _, stop := range s.stops {
		if n := len(stop); n > longest && len(text) >= n && string(text[len(text)-n:]) == stop {
			longest = n
		}
	}
	return longest
}

// beginning returns the length of the longest end of the held text that a stop string begins with.
func (s *stopper) beginning() int {
	longest := 0
	for _, stop := range s.stops {
		for n := min(len(stop)-1, len(s.held)); n > longest; n-- {
			if strings.HasPrefix(stop, string(s.held[len(s.held)-n:])) {
				longest = n
			}
		}
	}
	return longest
}
