package tokenizer

import (
	"encoding/json"
	"fmt"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// jsonStep is the union of the fields that the steps of the four pipeline sections have.
type jsonStep struct {
	Type string `json:"type"`

	Normalizers   []rawJSON `json:"normalizers"`
	PreTokenizers []rawJSON `json:"pretokenizers"`
	Processors    []rawJSON `json:"processors"`
	Decoders      []rawJSON `json:"decoders"`

	Prepend string `json:"prepend"`
	Pattern *struct {
		String *string `json:"String"`
		Regex  *string `json:"Regex"`
	} `json:"pattern"`
	Content        string  `json:"content"`
	Behavior       string  `json:"behavior"`
	Invert         bool    `json:"invert"`
	AddPrefixSpace *bool   `json:"add_prefix_space"`
	UseRegex       *bool   `json:"use_regex"`
	Individual     bool    `json:"individual_digits"`
	Replacement    *string `json:"replacement"`
	PrependScheme  *string `json:"prepend_scheme"`
	Split          *bool   `json:"split"`
	Start          int     `json:"start"`
	Stop           int     `json:"stop"`

	Single        []map[string]struct{ ID string } `json:"single"`
	SpecialTokens map[string]struct{ IDs []int64 } `json:"special_tokens"`
}

// eachStep calls step for every step of a section, sequences unrolled.
func eachStep(field string, raw rawJSON, step func(field string, s *jsonStep) error) error {
	if raw.isNull() {
		return nil
	}
	if len(raw) > maxSection {
		return errLimit(field, "%d bytes, at most %d", len(raw), maxSection)
	}
	left := maxSteps
	return unroll(field, raw, &left, step)
}

func unroll(field string, raw rawJSON, left *int, step func(field string, s *jsonStep) error) error {
	if *left--; *left < 0 {
		return errLimit(field, "more than %d steps", maxSteps)
	}
	var s jsonStep
	if err := json.Unmarshal(raw, &s); err != nil {
		return jsonError(field, err)
	}
	if s.Type != "Sequence" {
		return step(field, &s)
	}
	for _, list := range []struct {
		name  string
		steps []rawJSON
	}{
		{"normalizers", s.Normalizers},
		{"pretokenizers", s.PreTokenizers},
		{"processors", s.Processors},
		{"decoders", s.Decoders},
	} {
		for i, raw := range list.steps {
			if err := unroll(fmt.Sprintf("%s.%s[%d]", field, list.name, i), raw, left, step); err != nil {
				return err
			}
		}
	}
	return nil
}

// literal returns the step's string pattern.
func (s *jsonStep) literal(field string) (string, error) {
	switch {
	case s.Pattern == nil || (s.Pattern.String == nil && s.Pattern.Regex == nil):
		return "", errInvalid(field+".pattern", "missing")
	case s.Pattern.String == nil:
		return "", errUnsupported(field+".pattern", "regular expression %q in a %s step", *s.Pattern.Regex, s.Type)
	case *s.Pattern.String == "" || len(*s.Pattern.String) > maxPattern:
		return "", errInvalid(field+".pattern", "%d bytes", len(*s.Pattern.String))
	}
	return *s.Pattern.String, nil
}

func isSet(b *bool, missing bool) bool {
	if b == nil {
		return missing
	}
	return *b
}

func (b *builder) addNormalizer(field string, s *jsonStep) error {
	n := normalizer{kind: normUnicode}
	switch s.Type {
	case "NFC":
		n.form = norm.NFC
	case "NFD":
		n.form = norm.NFD
	case "NFKC":
		n.form = norm.NFKC
	case "NFKD":
		n.form = norm.NFKD
	case "Lowercase":
		n.kind = normLower
	case "Prepend":
		n.kind, n.text = normPrepend, s.Prepend
		if len(n.text) > maxPrepend {
			return errLimit(field+".prepend", "%d bytes, at most %d", len(n.text), maxPrepend)
		}
	case "Replace":
		var err error
		if n, err = s.replacement(field); err != nil {
			return err
		}
	default:
		return errUnsupported(field+".type", "%q", s.Type)
	}
	b.t.normalizers = append(b.t.normalizers, n)
	return checkGrowth(field, b.t.normalizers)
}

// checkGrowth bounds how much longer replacements can make a text: a few of them in a row could multiply it.
func checkGrowth(field string, steps []normalizer) error {
	growth := 1
	for _, n := range steps {
		if n.kind == normReplace {
			growth *= (len(n.text) + len(n.from) - 1) / len(n.from)
			growth = max(growth, 1)
		}
		if growth > maxGrowth {
			return errLimit(field, "replacements make a text more than %d times as long", maxGrowth)
		}
	}
	return nil
}

// replacement reads a Replace step of normalizer or decoder.
func (s *jsonStep) replacement(field string) (normalizer, error) {
	from, err := s.literal(field)
	if err != nil {
		return normalizer{}, err
	}
	if len(s.Content) > maxPrepend {
		return normalizer{}, errLimit(field+".content", "%d bytes, at most %d", len(s.Content), maxPrepend)
	}
	return normalizer{kind: normReplace, from: from, text: s.Content}, nil
}

func (b *builder) addPreTokenizer(field string, s *jsonStep) error {
	p := &b.t.pre
	// Both rewrite the text, so a step behind them would see another text than ours.
	if p.byteLevel || p.metaspace.on {
		return errUnsupported(field+".type", "%q after a step that rewrites the text", s.Type)
	}
	switch s.Type {
	case "ByteLevel":
		p.byteLevel = true
		if isSet(s.AddPrefixSpace, true) {
			p.prefixAt = len(p.splits)
		}
		if isSet(s.UseRegex, true) {
			p.splits = append(p.splits, scanSplit{patternGPT2})
		}
	case "Digits":
		p.splits = append(p.splits, digitSplit{s.Individual})
	case "Split":
		split, err := s.splitter(field)
		if err != nil {
			return err
		}
		p.splits = append(p.splits, split)
	case "Metaspace":
		m, err := s.metaspace(field)
		if err != nil {
			return err
		}
		if len(p.splits) > 0 {
			return errUnsupported(field+".type", "\"Metaspace\" after another step")
		}
		p.metaspace = m
	default:
		return errUnsupported(field+".type", "%q", s.Type)
	}
	return nil
}

func (s *jsonStep) splitter(field string) (splitter, error) {
	var b behavior
	switch s.Behavior {
	case "Isolated":
		b = isolated
	case "Removed":
		b = removed
	case "MergedWithPrevious":
		b = mergedWithBefore
	case "MergedWithNext":
		b = mergedWithNext
	case "Contiguous":
		b = contiguous
	default:
		return nil, errUnsupported(field+".behavior", "%q", s.Behavior)
	}
	if s.Pattern == nil || s.Pattern.Regex == nil {
		lit, err := s.literal(field)
		return stringSplit{lit, b, s.Invert}, err
	}
	if len(*s.Pattern.Regex) > maxPattern {
		return nil, errLimit(field+".pattern", "%d bytes, at most %d", len(*s.Pattern.Regex), maxPattern)
	}
	split, err := newRegexSplit(*s.Pattern.Regex, b, s.Invert)
	if err != nil {
		return nil, errUnsupported(field+".pattern", "%q: %v", *s.Pattern.Regex, err)
	}
	return split, nil
}

// metaspace reads a Metaspace pre-tokenizer or decoder.
func (s *jsonStep) metaspace(field string) (metaspace, error) {
	m := metaspace{on: true, mark: spaceMark, split: isSet(s.Split, true)}
	if s.Replacement != nil {
		m.mark = *s.Replacement
	}
	if utf8.RuneCountInString(m.mark) != 1 {
		return m, errInvalid(field+".replacement", "%q is not one character", m.mark)
	}
	scheme := "always"
	switch {
	case s.PrependScheme != nil:
		scheme = *s.PrependScheme
	case !isSet(s.AddPrefixSpace, true):
		scheme = "never"
	}
	switch scheme {
	case "always":
		m.prepend = prependAlways
	case "first":
		m.prepend = prependFirst
	case "never":
		m.prepend = prependNever
	default:
		return m, errUnsupported(field+".prepend_scheme", "%q", scheme)
	}
	return m, nil
}

func (b *builder) addPostProcessor(field string, s *jsonStep) error {
	switch s.Type {
	case "ByteLevel": // only moves offsets
		return nil
	case "TemplateProcessing":
	default:
		return errUnsupported(field+".type", "%q", s.Type)
	}
	var before, after []int32
	seen := false
	for i, part := range s.Single {
		at := fmt.Sprintf("%s.single[%d]", field, i)
		if seq, ok := part["Sequence"]; ok {
			if seen || seq.ID != "A" {
				return errUnsupported(at, "sequence %q: a template has the text once", seq.ID)
			}
			seen = true
			continue
		}
		name, ok := part["SpecialToken"]
		if !ok {
			return errUnsupported(at, "neither Sequence nor SpecialToken")
		}
		special, ok := s.SpecialTokens[name.ID]
		if !ok {
			return errInvalid(at, "%q is not among special_tokens", name.ID)
		}
		for _, id := range special.IDs {
			if id < 0 || id >= int64(b.t.vocab.size()) || !b.t.vocab.has(int32(id)) {
				return errInvalid(at, "id %d of %q is not in the vocabulary", id, name.ID)
			}
			if seen {
				after = append(after, int32(id))
			} else {
				before = append(before, int32(id))
			}
		}
	}
	if !seen {
		return errInvalid(field+".single", "no place for the text")
	}
	t := b.t
	// A second template wraps what the first one gave.
	t.prefix, t.suffix = append(before, t.prefix...), append(t.suffix, after...)
	if len(t.prefix)+len(t.suffix) > maxTemplate {
		return errLimit(field+".single", "more than %d special tokens", maxTemplate)
	}
	t.bos, t.eos = -1, -1
	if len(t.prefix) == 1 {
		t.bos = t.prefix[0]
	}
	if len(t.suffix) == 1 {
		t.eos = t.suffix[0]
	}
	return nil
}

// addDecoder accepts ByteLevel alone, Metaspace alone, or SentencePiece's chain: Replace*, ByteFallback, Fuse, Strip
// from the start.
func (b *builder) addDecoder(field string, s *jsonStep) error {
	d := &b.t.decode
	stage := d.stage
	switch s.Type {
	case "ByteLevel":
		d.kind, d.stage = decodeBytes, stageDone
		if stage != stageNone {
			return errUnsupported(field+".type", "ByteLevel after another decoder")
		}
		return nil
	case "Metaspace":
		m, err := s.metaspace(field)
		if err != nil {
			return err
		}
		d.replace = []normalizer{{kind: normReplace, from: m.mark, text: " "}}
		if m.prepend != prependNever {
			d.dropMark = m.mark
		}
		d.kind, d.stage = decodeText, stageDone
		if stage != stageNone {
			return errUnsupported(field+".type", "Metaspace after another decoder")
		}
		return nil
	case "Replace":
		r, err := s.replacement(field)
		if err != nil {
			return err
		}
		d.replace = append(d.replace, r)
		if err := checkGrowth(field, d.replace); err != nil {
			return err
		}
		d.stage = stageReplace
	case "ByteFallback":
		d.bytes, d.stage = true, stageBytes
	case "Fuse":
		d.stage = stageFuse
	case "Strip":
		if stage != stageFuse || s.Stop != 0 || len(s.Content) != 1 || s.Start < 0 || s.Start > maxPrepend {
			return errUnsupported(field, "Strip other than of one character from the start of the fused text")
		}
		d.strip, d.stripMax, d.stage = s.Content[0], s.Start, stageDone
	default:
		return errUnsupported(field+".type", "%q", s.Type)
	}
	if stage > d.stage || stage == stageDone || (stage == d.stage && stage != stageReplace) {
		return errUnsupported(field+".type", "%q at this place", s.Type)
	}
	d.kind = decodeText
	return nil
}
