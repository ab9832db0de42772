package tokenizer

import (
	"strings"
	"time"
	"unicode/utf8"

	"github.com/dlclark/regexp2/v2"
)

// preTokenizer cuts a text into the words the model sees.
type preTokenizer struct {
	splits    []splitter // each cuts the pieces of the one before
	byteLevel bool
	// prefixAt is the splitter in front of which every piece gets a leading space if it has none, as ByteLevel's
	// add_prefix_space asks; -1 for none.
	prefixAt  int
	metaspace metaspace
}

// A splitter appends the pieces of s, in order. Pieces are not empty; white space may be left out between them.
type splitter interface {
	split(dst []span, s string, b *regexBudget) []span
}

// regexBudget is the time that one text may still spend in patterns from the file.
type regexBudget time.Duration

// regexTime bounds the cost of one text, so that a pattern that explodes costs seconds and not a server.
const regexTime = 2 * time.Second

// Patterns with a scanner of their own.
const (
	patternGPT2   = `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`
	patternLlama3 = `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
	patternQwen2  = `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
	patternTekken = `[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+`
	patternGPT4o  = `[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+`
)

// scanSplit runs a scanner over the text. These patterns match every character, so there are no gaps.
type scanSplit struct{ pattern string }

func (p scanSplit) split(dst []span, s string, _ *regexBudget) []span {
	next := scannerOf(p.pattern)
	for i := 0; i < len(s); {
		end := next(s, i)
		dst = append(dst, span{i, end})
		i = end
	}
	return dst
}

// scannerOf returns the scanner of a pattern, nil for patterns without one.
func scannerOf(pattern string) func(s string, i int) int {
	switch pattern {
	case patternGPT2:
		return scanGPT2
	case patternLlama3:
		return scanLlama3
	case patternQwen2:
		return scanQwen2
	case patternTekken:
		return scanTekken
	case patternGPT4o:
		return scanGPT4o
	}
	return nil
}

// digitSplit cuts out numbers, character by character or in runs.
type digitSplit struct{ individual bool }

func (p digitSplit) split(dst []span, s string, _ *regexBudget) []span {
	start := 0
	for i := 0; i < len(s); {
		r, n := rune(s[i]), 1
		if r >= utf8.RuneSelf {
			r, n = utf8.DecodeRuneInString(s[i:])
		}
		if !isNumber(r) {
			i += n
			continue
		}
		if i > start {
			dst = append(dst, span{start, i})
		}
		end := i + n
		if !p.individual {
			end = run(s, i, classNumber, 0)
		}
		dst = append(dst, span{i, end})
		start, i = end, end
	}
	if start < len(s) {
		dst = append(dst, span{start, len(s)})
	}
	return dst
}

// behavior says what becomes of the matches of a pattern.
type behavior uint8

const (
	isolated         behavior = iota // pieces of their own
	removed                          // left out
	mergedWithBefore                 // end of the piece in front
	mergedWithNext                   // start of the piece behind
	contiguous                       // neighbouring matches are one piece
)

// A region is a stretch of text that is one match, or what lies between matches.
type region struct {
	span
	match bool
}

// assemble makes pieces of the regions of a text. The odd-looking rule of the merging behaviors (a match merges
// only into something that is not a match itself) is the reference's.
func (b behavior) assemble(dst []span, regions []region) []span {
	base := len(dst)
	switch b {
	case isolated, removed:
		for _, r := range regions {
			if b == isolated || !r.match {
				dst = append(dst, r.span)
			}
		}
	case contiguous:
		for i, r := range regions {
			if i > 0 && regions[i-1].match == r.match {
				dst[len(dst)-1].hi = r.hi
			} else {
				dst = append(dst, r.span)
			}
		}
	case mergedWithBefore:
		for i, r := range regions {
			if r.match && len(dst) > base && !regions[i-1].match {
				dst[len(dst)-1].hi = r.hi
			} else {
				dst = append(dst, r.span)
			}
		}
	case mergedWithNext:
		for i, r := range regions {
			if i > 0 && regions[i-1].match && !r.match {
				dst[len(dst)-1].hi = r.hi
			} else {
				dst = append(dst, r.span)
			}
		}
	}
	return dst
}

// stringSplit cuts at a literal.
type stringSplit struct {
	literal string
	b       behavior
	invert  bool
}

func (p stringSplit) split(dst []span, s string, _ *regexBudget) []span {
	regions := make([]region, 0, 16)
	last := 0
	for i := 0; ; {
		k := strings.Index(s[i:], p.literal)
		if k < 0 {
			break
		}
		lo, hi := i+k, i+k+len(p.literal)
		if lo > last {
			regions = append(regions, region{span{last, lo}, p.invert})
		}
		regions = append(regions, region{span{lo, hi}, !p.invert})
		last, i = hi, hi
	}
	if last < len(s) {
		regions = append(regions, region{span{last, len(s)}, p.invert})
	}
	return p.b.assemble(dst, regions)
}

// regexSplit cuts at the matches of a pattern from the file, with an engine that backtracks.
type regexSplit struct {
	re     *regexp2.Regexp
	b      behavior
	invert bool
}

func newRegexSplit(pattern string, b behavior, invert bool) (splitter, error) {
	// Where matches leave no gaps, keeping them and removing what is not a match are the same.
	if keeps := !invert && b == isolated || invert && b == removed; keeps && scannerOf(pattern) != nil {
		return scanSplit{pattern}, nil
	}
	re, err := regexp2.Compile(pattern, regexp2.None)
	if err != nil {
		return nil, err
	}
	re.MatchTimeout = regexTime
	return &regexSplit{re: re, b: b, invert: invert}, nil
}

// split leaves the rest of the text in one piece when the budget runs out: every byte is still tokenized.
func (p *regexSplit) split(dst []span, s string, b *regexBudget) []span {
	if *b <= 0 {
		return append(dst, span{0, len(s)})
	}
	start := time.Now()
	deadline := start.Add(time.Duration(*b))
	defer func() { *b -= regexBudget(time.Since(start)) }()
	var regions []region
	add := func(lo, hi int, match bool) {
		if hi > lo {
			regions = append(regions, region{span{lo, hi}, match != p.invert})
		}
	}
	runes := make([]rune, 0, len(s))
	for i := 0; i < len(s); { // a byte that is not UTF-8 is one character
		r, n := utf8.DecodeRuneInString(s[i:])
		runes = append(runes, r)
		i += n
	}
	at, pos := 0, 0 // the same place, in characters and in bytes
	bytePos := func(r int) int {
		for ; at < r; at++ {
			_, n := utf8.DecodeRuneInString(s[pos:])
			pos += n
		}
		return pos
	}
	last := 0
	// A timeout ends the iteration like the deadline does.
	_ = p.re.FindRunesMatches(runes, 0, func(m regexp2.MatchView) bool {
		start, n, ok := m.GroupRange(0)
		if !ok {
			return true
		}
		lo, hi := bytePos(start), bytePos(start+n)
		add(last, lo, false)
		add(lo, hi, true)
		last = hi
		return time.Now().Before(deadline)
	})
	add(last, len(s), false)
	return p.b.assemble(dst, regions)
}

// metaspace is the SentencePiece pre-tokenizer: spaces become a mark, and a mark may be put in front.
type metaspace struct {
	on      bool
	mark    string
	prepend prependScheme
	split   bool // cut in front of every mark
}

type prependScheme uint8

const (
	prependNever prependScheme = iota
	prependFirst               // only the start of the whole text
	prependAlways
)

// apply returns the text with marks; first says that nothing came before it.
func (m metaspace) apply(s string, first bool) string {
	s = strings.ReplaceAll(s, " ", m.mark)
	if m.prepend == prependAlways || (m.prepend == prependFirst && first) {
		if !strings.HasPrefix(s, m.mark) {
			s = m.mark + s
		}
	}
	return s
}
