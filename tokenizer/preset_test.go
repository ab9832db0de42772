package tokenizer

import (
	"encoding/json"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"unicode"

	"aquifer/models/modeltest"
)

// published are the pre_tokenizer sections of models whose pipelines GGUF has names for, and the same pipelines spelled
// so that no scanner knows them: every step an ordinary pattern.
func published() []publishedPipeline {
	quote := func(pattern string) string {
		b, err := json.Marshal(pattern)
		if err != nil {
			panic(err) // a string always has a JSON form
		}
		return string(b)
	}
	split := func(pattern string) string {
		return `{"type":"Split","pattern":{"Regex":` + quote(pattern) + `},"behavior":"Isolated","invert":false}`
	}
	inverted := func(pattern string) string {
		return `{"type":"Split","pattern":{"Regex":` + quote(pattern) + `},"behavior":"Removed","invert":true}`
	}
	sequence := func(steps ...string) string {
		return `{"type":"Sequence","pretokenizers":[` + strings.Join(steps, ",") + `]}`
	}
	const (
		level  = `{"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true,"use_regex":false}`
		gpt2   = `{"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true,"use_regex":true}`
		digits = `{"type":"Digits","individual_digits":true}`
		number = `\p{N}`
	)
	// plain spells a pattern so that it is not recognised.
	plain := func(pattern string) string { return split("(?:" + pattern + ")") }
	return []publishedPipeline{
		{"gpt-2", gpt2, sequence(plain(patternGPT2), level), false, false},
		{"smollm", sequence(digits, gpt2), sequence(plain(number), plain(patternGPT2), level), false, false},
		{"command-r", sequence(digits, gpt2), sequence(plain(number), plain(patternGPT2), level), true, false},
		{"llama-bpe", sequence(split(patternLlama3), level), sequence(plain(patternLlama3), level), false, true},
		{"dbrx", sequence(inverted(patternLlama3), level), sequence(plain(patternLlama3), level), false, false},
		{"qwen2", sequence(split(patternQwen2), level), sequence(plain(patternQwen2), level), true, false},
		{"tekken", sequence(split(patternTekken), level), sequence(plain(patternTekken), level), false, true},
		{"gpt-4o", sequence(inverted(patternGPT4o), level), sequence(plain(patternGPT4o), level), false, false},
		// No tokenizer.json has this one: it is llama.cpp's own.
		{"default", "", sequence(split(`[\p{P}$+<=>^~|]+`), plain(patternGPT2), plain(`\p{N}+`), plain(`[0-9][0-9][0-9]`), level), false, false},
	}
}

type publishedPipeline struct {
	pre                  string
	published, plain     string // pre_tokenizer sections
	nfc, wholeWordsFirst bool   // normalizer NFC, ignore_merges
}

// parse reads file with another pipeline.
func (p *publishedPipeline) parse(t testing.TB, file map[string]json.RawMessage, section string) *Tokenizer {
	t.Helper()
	var model map[string]json.RawMessage
	unmarshal(t, file["model"], &model)
	model["ignore_merges"] = json.RawMessage("false")
	if p.wholeWordsFirst {
		model["ignore_merges"] = json.RawMessage("true")
	}
	changed := map[string]json.RawMessage{"added_tokens": file["added_tokens"], "decoder": file["decoder"], "pre_tokenizer": json.RawMessage(section)}
	if p.nfc {
		changed["normalizer"] = json.RawMessage(`{"type":"NFC"}`)
	}
	marshal := func(v any) json.RawMessage {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	changed["model"] = marshal(model)
	tok, err := Parse(marshal(changed))
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

// presetTexts are random texts of what patterns tell apart.
func presetTexts(n int) []string {
	parts := []string{
		"'s", "'S", "'re", "'LL", "'", "a", "ab", "Z", "ZZ", "é", "É", "e\u0301", "\u0301", "水", "ª", "ǅ", "1", "12", "1234", "²", "٣", "Ⅷ", " ", "  ", "\t", "\n",
		"\r\n", "\u00a0", "\u2028", "-", "...", "$", "<=>", "/", "\n/", "😀", "_", "\x00", "\u200d", "the", "The", "HTML", "iPhone", "don't", "I'M", "\xff",
	}
	r := rand.New(rand.NewPCG(11, 12))
	var texts []string
	for range n {
		var sb strings.Builder
		for range r.IntN(14) {
			sb.WriteString(parts[r.IntN(len(parts))])
		}
		texts = append(texts, sb.String())
	}
	return texts
}

// TestPresets: each pipeline that GGUF has a name for is recognised, and gives the ids of its patterns.
func TestPresets(t *testing.T) {
	var file map[string]json.RawMessage
	unmarshal(t, fixtureJSON(t, "bytelevel"), &file)
	checkPresets(t, file, presetTexts(3000))
}

// TestPresetsShared is TestPresets with a vocabulary of 150 000 tokens and the shared texts.
func TestPresetsShared(t *testing.T) {
	texts := sharedCases(t)
	var file map[string]json.RawMessage
	unmarshal(t, modeltest.SharedFile(t, "tokenizers", "qwen3.json.xz"), &file)
	checkPresets(t, file, append(texts, presetTexts(1000)...))
}

func checkPresets(t *testing.T, file map[string]json.RawMessage, texts []string) {
	t.Helper()
	// What a GGUF gives takes vocabulary and merges from the same file in any pipeline.
	m, err := (&publishedPipeline{}).parse(t, file, `{"type":"ByteLevel","add_prefix_space":false,"use_regex":true}`).Metadata()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, p := range published() {
		names = append(names, p.pre)
		t.Run(p.pre, func(t *testing.T) {
			slow := p.parse(t, file, p.plain)
			if _, err := slow.Metadata(); err == nil {
				t.Error("the patterns are recognised: they are not the slow way")
			}
			m.Pre = p.pre
			fast, err := FromMetadata(m)
			if err != nil {
				t.Fatal(err)
			}
			differ := 0
			for _, text := range texts {
				for _, opt := range []EncodeOptions{{}, {ParseSpecial: true}} {
					got, want := fast.Encode(text, opt), slow.Encode(text, opt)
					if !slices.Equal(got, want) {
						if differ++; differ <= 5 {
							t.Errorf("%+q\n got %v\nwant %v", text, got, want)
						}
					}
				}
			}
			if differ > 0 {
				t.Errorf("%d of %d differ", differ, 2*len(texts))
			}
			if again, err := fast.Metadata(); err != nil || again.Pre != p.pre {
				t.Errorf("exported as %q, %v", again.Pre, err)
			}
			if p.published == "" {
				return
			}
			got, err := p.parse(t, file, p.published).Metadata()
			if err != nil || got.Pre != p.pre {
				t.Errorf("the published pipeline is exported as %q, %v", got.Pre, err)
			}
		})
	}
	for _, p := range presets() {
		if !slices.Contains(names, p.names[0]) {
			t.Errorf("no test of %s", p.names[0])
		}
	}
}

// FuzzSplits wants scanners and hand-written splits to agree with the patterns they stand for, on any text.
func FuzzSplits(f *testing.F) {
	for _, text := range presetTexts(60) {
		f.Add(text)
	}
	type pair struct {
		pattern string
		fast    splitter
		slow    *regexSplit
	}
	var pairs []pair
	for pattern, fast := range map[string]splitter{
		patternGPT2: nil, patternLlama3: nil, patternQwen2: nil, patternTekken: nil, patternGPT4o: nil,
		`\p{N}`: digitSplit{individual: true}, `\p{N}+`: digitSplit{}, `[0-9][0-9][0-9]`: tripleSplit{}, `[\p{P}$+<=>^~|]+`: punctuationSplit{},
	} {
		s, err := newRegexSplit("(?:"+pattern+")", isolated, false)
		if err != nil {
			f.Fatal(err)
		}
		if fast == nil {
			fast = scanSplit{pattern}
		}
		pairs = append(pairs, pair{pattern, fast, s.(*regexSplit)})
	}
	f.Fuzz(func(t *testing.T, text string) {
		// The engine has Go's tables, which are older than ours.
		if len(text) > 1000 || strings.ContainsFunc(text, func(r rune) bool { return unicode.In(r, laterLetters, laterNumbers, laterMarks) }) {
			return
		}
		for _, p := range pairs {
			if got, want := split(p.fast, text), split(p.slow, text); !slices.Equal(got, want) {
				t.Fatalf("%s\n%+q\n got %v\nwant %v", p.pattern, text, got, want)
			}
		}
	})
}
