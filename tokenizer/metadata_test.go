package tokenizer

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// checkMetadata compares a tokenizer with what FromMetadata makes of its Metadata.
func checkMetadata(t *testing.T, want *Tokenizer, texts []string) Metadata {
	t.Helper()
	m, err := want.Metadata()
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	got, err := FromMetadata(m)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d tokens, %d merges loaded in %v", len(m.Tokens), len(m.Merges), time.Since(start).Round(time.Millisecond))
	again, err := got.Metadata()
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(m, again) {
		t.Error("Metadata of FromMetadata differs from what it was made of")
	}
	for _, text := range texts {
		for _, opt := range []EncodeOptions{{}, {AddSpecial: true, ParseSpecial: true}} {
			a, b := want.Encode(text, opt), got.Encode(text, opt)
			if !slices.Equal(a, b) {
				t.Errorf("ids of %q with %+v\n got %v\nwant %v", text, opt, b, a)
			}
			for _, skip := range []bool{false, true} {
				if x, y := want.Decode(a, skip), got.Decode(a, skip); x != y {
					t.Errorf("text of %v: got %q, want %q", a, y, x)
				}
			}
		}
	}
	for id := range int32(want.Size()) {
		if want.IsSpecial(id) != got.IsSpecial(id) {
			t.Errorf("IsSpecial(%d): got %v", id, got.IsSpecial(id))
		}
		if p := want.Piece(id); p != "" && p != got.Piece(id) {
			t.Errorf("Piece(%d): got %q, want %q", id, got.Piece(id), p)
		}
	}
	return m
}

func TestMetadataFixtures(t *testing.T) {
	for _, c := range []struct{ name, model, pre string }{
		{"bytelevel", "gpt2", "qwen2"},
		{"spm", "llama", "default"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var texts []string
			for _, r := range fixtureRefs(t, c.name) {
				texts = append(texts, r.Text)
			}
			m := checkMetadata(t, fixture(t, c.name), texts)
			if m.Model != c.model || m.Pre != c.pre {
				t.Errorf("model %q, pre %q; want %q, %q", m.Model, m.Pre, c.model, c.pre)
			}
		})
	}
}

// TestMetadataSays: what GGUF has no words for is refused, not approximated.
func TestMetadataSays(t *testing.T) {
	spm := string(fixtureJSON(t, "spm"))
	byteLevel := string(fixtureJSON(t, "bytelevel"))
	for _, c := range []struct{ file, old, new, field string }{
		{string(fixtureJSON(t, "flags")), "", "", "added token"},
		{string(fixtureJSON(t, "metaspace")), "", "", "pre_tokenizer"},
		{spm, `{"type":"ByteFallback"},`, ``, "decoder"},
		{spm, `,{"type":"Strip","content":" ","start":1,"stop":0}`, ``, "decoder"},
		{spm, `"prepend":"▁"`, `"prepend":"▁▁"`, "normalizer"},
		{spm, `"pre_tokenizer":null`, `"pre_tokenizer":{"type":"Digits"}`, "pre_tokenizer"},
		{spm, `"byte_fallback":true`, `"byte_fallback":false`, "model.byte_fallback"},
		{spm, `"ignore_merges":false`, `"ignore_merges":true`, "model.ignore_merges"},
		{spm, `"normalized":false`, `"normalized":true`, "added token"},
		{spm, `[{"SpecialToken":{"id":"<s>","type_id":0}}`, `[{"SpecialToken":{"id":"<s>","type_id":0}},{"SpecialToken":{"id":"<s>","type_id":0}}`, "post_processor"},
		{byteLevel, `{"type":"NFC"}`, `{"type":"NFD"}`, "normalizer"},
		{byteLevel, `{"type":"NFC"}`, `null`, "pre_tokenizer"},
		{byteLevel, `"ignore_merges":false`, `"ignore_merges":true`, "pre_tokenizer"},
		{byteLevel, `\\p{N}|`, `\\p{N}{1,2}|`, "pre_tokenizer"},
		{byteLevel, `"add_prefix_space":false`, `"add_prefix_space":true`, "pre_tokenizer"},
		{byteLevel, `"decoder":{"type":"ByteLevel"`, `"decoder":{"type":"Fuse"`, "decoder"},
	} {
		if c.old != "" && !strings.Contains(c.file, c.old) {
			t.Fatalf("the fixture has no %s", c.old)
		}
		tok, err := Parse([]byte(strings.Replace(c.file, c.old, c.new, 1)))
		if err != nil {
			t.Errorf("%s for %s: %v", c.new, c.old, err)
			continue
		}
		_, err = tok.Metadata()
		if fe, ok := errors.AsType[*FormatError](err); !ok || !strings.HasPrefix(fe.Field, c.field) || !errors.Is(err, ErrUnsupported) {
			t.Errorf("%q for %q: got %v, want an error about %s", c.new, c.old, err, c.field)
		}
	}
}

// TestMetadataStrips: tokens that take the white space beside them, as those of Phi-3 do, still do so.
func TestMetadataStrips(t *testing.T) {
	file := string(fixtureJSON(t, "spm"))
	for content, flag := range map[string]string{"</s>": "rstrip", "<s>": "lstrip"} {
		at := strings.Index(file, `"content":"`+content+`"`)
		if at < 0 {
			t.Fatalf("the fixture has no %s", content)
		}
		file = file[:at] + strings.Replace(file[at:], `"`+flag+`":false`, `"`+flag+`":true`, 1)
	}
	tok, err := Parse([]byte(file))
	if err != nil {
		t.Fatal(err)
	}
	m := checkMetadata(t, tok, []string{"</s>\n The", "water </s> \t\n</s>  the", "the \n<s> water", "<s></s> ", " \u00a0<s>the"})
	if !slices.Equal(m.LStrip, []int32{1}) || !slices.Equal(m.RStrip, []int32{2}) {
		t.Errorf("lstrip %v, rstrip %v", m.LStrip, m.RStrip)
	}
	a, b := tok.Encode("</s>\n the", EncodeOptions{ParseSpecial: true}), tok.Encode("</s>the", EncodeOptions{ParseSpecial: true})
	if !slices.Equal(a, b) {
		t.Errorf("white space behind </s> counts: %v, %v", a, b)
	}
}

func TestFromMetadataRefuses(t *testing.T) {
	good := func() Metadata {
		return Metadata{
			Model: "llama", Pre: "default", Tokens: []string{"<unk>", "a", "b", "ab"}, Types: []int32{2, 1, 1, 1},
			Scores: []float32{0, -2, -3, -1}, BOS: -1, EOS: -1, Unknown: 0, Padding: -1,
		}
	}
	if _, err := FromMetadata(good()); err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("a", maxPiece+1)
	for _, c := range []struct {
		field string
		is    error
		spoil func(*Metadata)
	}{
		{"model", ErrUnsupported, func(m *Metadata) { m.Model = "bert" }},
		{"model", ErrUnsupported, func(m *Metadata) { m.Model = "" }},
		{"pre", ErrUnsupported, func(m *Metadata) { m.Pre = "llama-bpe" }},
		{"pre", ErrUnsupported, func(m *Metadata) { m.Model, m.Pre = "gpt2", "" }},
		{"pre", ErrUnsupported, func(m *Metadata) { m.Model, m.Pre = "gpt2", "viking" }},
		{"lstrip", ErrInvalid, func(m *Metadata) { m.LStrip = []int32{1} }},
		{"rstrip", ErrInvalid, func(m *Metadata) { m.RStrip = []int32{-1} }},
		{"rstrip", ErrInvalid, func(m *Metadata) { m.RStrip = []int32{0, 9} }},
		{"tokens", ErrInvalid, func(m *Metadata) { m.Tokens = nil }},
		{"tokens", ErrLimit, func(m *Metadata) { m.Tokens = make([]string, maxVocab+1) }},
		{"tokens[1]", ErrLimit, func(m *Metadata) { m.Tokens[1] = long }},
		{"tokens[1]", ErrInvalid, func(m *Metadata) { m.Tokens[1] = "\xff" }},
		{"tokens[3]", ErrLimit, func(m *Metadata) { m.Tokens[3] = long[:maxScoredPiece+1] }},
		{"token 3", ErrInvalid, func(m *Metadata) { m.Tokens[3] = "a" }},
		{"added token", ErrLimit, func(m *Metadata) { m.Tokens[0] = long[:maxAddedPiece+1] }},
		{"token_type", ErrInvalid, func(m *Metadata) { m.Types = m.Types[:2] }},
		{"token_type[1]", ErrUnsupported, func(m *Metadata) { m.Types[1] = 9 }},
		{"scores", ErrInvalid, func(m *Metadata) { m.Scores = nil }},
		{"scores[2]", ErrInvalid, func(m *Metadata) { m.Scores[2] = float32(math.NaN()) }},
		{"scores[2]", ErrInvalid, func(m *Metadata) { m.Scores[2] = float32(math.Inf(1)) }},
		{"bos_token_id", ErrInvalid, func(m *Metadata) { m.BOS = 4 }},
		{"eos_token_id", ErrInvalid, func(m *Metadata) { m.EOS = -2 }},
		{"padding_token_id", ErrInvalid, func(m *Metadata) { m.Padding = math.MaxInt32 }},
		{"unknown_token_id", ErrInvalid, func(m *Metadata) { m.Unknown = math.MinInt32 }},
		{"add_bos_token", ErrInvalid, func(m *Metadata) { m.AddBOS = true }},
		{"add_eos_token", ErrInvalid, func(m *Metadata) { m.AddEOS = true }},
		{"add_space_prefix", ErrInvalid, func(m *Metadata) { m.Pre = preMetaspaceFirst }},
		{"merges[0]", ErrInvalid, func(m *Metadata) { m.Merges = []string{"ab"} }},
		{"merges[0]", ErrInvalid, func(m *Metadata) { m.Merges = []string{""} }},
		{"merges[1]", ErrInvalid, func(m *Metadata) { m.Merges = []string{"a b", "a c"} }},
	} {
		m := good()
		c.spoil(&m)
		_, err := FromMetadata(m)
		if fe, ok := errors.AsType[*FormatError](err); !ok || !strings.HasPrefix(fe.Field, c.field) || !errors.Is(err, c.is) {
			t.Errorf("got %v, want an error about %s: %v", err, c.field, c.is)
		}
	}
}

// TestScores: the highest score merges first, whatever the ids, and the leftmost among equals.
func TestScores(t *testing.T) {
	for _, c := range []struct {
		scores []float32 // of ab, bc, abc
		text   string
		want   []int32
	}{
		{[]float32{-1, -2, -9}, "abc", []int32{5}},
		{[]float32{-2, -1, -9}, "abc", []int32{5}},
		{[]float32{-1, -2, -9}, "abcbc", []int32{5, 4}},
		{[]float32{-2, -1, -9}, "abb", []int32{3, 1}},
		{[]float32{-1, -1, -9}, "abbc", []int32{3, 4}},
		{[]float32{-1, -1, -9}, "bcab", []int32{4, 3}},
	} {
		tok, err := FromMetadata(Metadata{
			Model: "llama", Tokens: []string{"a", "b", "c", "ab", "bc", "abc"},
			Scores: append([]float32{0, 0, 0}, c.scores...), BOS: -1, EOS: -1, Unknown: -1, Padding: -1,
		})
		if err != nil {
			t.Fatal(err)
		}
		if got := tok.Encode(c.text, EncodeOptions{}); !slices.Equal(got, c.want) {
			t.Errorf("scores %v: %q gives %v, want %v", c.scores, c.text, got, c.want)
		}
	}
}

// TestScoresNotExact: an order that scores cannot carry is written as merges too, and then kept.
func TestScoresNotExact(t *testing.T) {
	const pipeline = `"normalizer":{"type":"Replace","pattern":{"String":" "},"content":"▁"},
		"decoder":{"type":"Sequence","decoders":[{"type":"Replace","pattern":{"String":"▁"},"content":" "},{"type":"ByteFallback"},{"type":"Fuse"}]},`
	for _, c := range []struct {
		why, vocab, merges string
		listed             bool
		text               string
		want               []int32
	}{
		{"in order", `"a":0,"b":1,"ab":2,"ba":3`, `"b a","a b"`, false, "aba", []int32{0, 3}},
		{"a split is missing", `"a":0,"b":1,"ab":2,"ba":3`, `"a b"`, true, "bab", []int32{1, 2}},
		{"two pieces interleave", `"a":0,"b":1,"ab":2,"ba":3,"aba":4,"bab":5`, `"a b","b a","ab a","ba b","a ba","b ab"`, true, "baba", []int32{1, 4}},
		{"runs that grow", `"a":0,"aa":1,"aaa":2,"aaaa":3`, `"aaa a","aa a","aa aa","a aa","a aaa","a a"`, false, "aaaaa", []int32{3, 0}},
		{"runs that do not", `"a":0,"aa":1,"aaa":2,"aaaa":3`, `"a a","aa a","aa aa","a aa","a aaa","aaa a"`, true, "aaaaa", []int32{1, 2}},
	} {
		tok, err := Parse([]byte(`{` + pipeline + `"model":{"type":"BPE","byte_fallback":true,"vocab":{` + c.vocab + `},"merges":[` + c.merges + `]}}`))
		if err != nil {
			t.Fatal(err)
		}
		if got := tok.Encode(c.text, EncodeOptions{}); !slices.Equal(got, c.want) {
			t.Errorf("%s: %q gives %v, want %v", c.why, c.text, got, c.want)
		}
		// Every text of up to nine letters.
		var texts []string
		for n := 1; n <= 9; n++ {
			for bits := range 1 << n {
				text := []byte(strings.Repeat("a", n))
				for i := range text {
					text[i] += byte(bits >> i & 1)
				}
				texts = append(texts, string(text))
			}
		}
		if m := checkMetadata(t, tok, texts); (len(m.Merges) > 0) != c.listed {
			t.Errorf("%s: %d merges listed", c.why, len(m.Merges))
		}
	}
}

// TestScoreWork: a vocabulary made to be expensive is refused instead of worked through.
func TestScoreWork(t *testing.T) {
	m := Metadata{Model: "llama", BOS: -1, EOS: -1, Unknown: -1, Padding: -1}
	for i := range 20000 {
		m.Tokens = append(m.Tokens, strings.Repeat("a", maxScoredPiece-6)+fmt.Sprintf("%06d", i))
	}
	m.Scores = make([]float32, len(m.Tokens))
	start := time.Now()
	_, err := FromMetadata(m)
	if !errors.Is(err, ErrLimit) {
		t.Errorf("got %v", err)
	}
	if d := time.Since(start); d > 10*time.Second {
		t.Errorf("took %v", d)
	}
}
