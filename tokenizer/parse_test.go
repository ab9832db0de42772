package tokenizer

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"aquifer/models/modeltest"
)

// small is a valid file; the tests below spoil one part of it.
const small = `{
 "added_tokens":[{"id":3,"content":"<s>","special":true}],
 "normalizer":null, "pre_tokenizer":null, "post_processor":null, "decoder":null,
 "model":{"type":"BPE","unk_token":null,"vocab":{"a":0,"b":1,"ab":2},"merges":["a b"]}}`

func TestParseRefuses(t *testing.T) {
	section := func(name, value string) string {
		return strings.Replace(small, fmt.Sprintf("%q:null", name), fmt.Sprintf("%q:%s", name, value), 1)
	}
	model := func(value string) string {
		return small[:strings.Index(small, `"model"`)] + `"model":` + value + "}"
	}
	nested := strings.Repeat(`{"type":"Sequence","normalizers":[`, 200) + `{"type":"NFC"}` + strings.Repeat("]}", 200)
	deep := strings.Repeat("[", 20000) + strings.Repeat("]", 20000)
	for _, c := range []struct {
		file, field string
		is          error
	}{
		{"", "tokenizer.json", ErrInvalid},
		{"[]", "tokenizer.json", ErrInvalid},
		{"{}", "model", ErrInvalid},
		{deep, "tokenizer.json", ErrInvalid},
		{"{\"model\":\"\xff\"}", "tokenizer.json", ErrInvalid},
		{strings.Repeat(" ", maxFile+1), "tokenizer.json", ErrLimit},
		{small[:len(small)-1], "tokenizer.json", ErrInvalid},

		{model(`{"type":"Unigram","vocab":[["a",0.5]]}`), "model.type", ErrUnsupported},
		{model(`{"type":"WordPiece","vocab":{"a":0}}`), "model.type", ErrUnsupported},
		{model(`{"vocab":{"a":0}}`), "model.type", ErrUnsupported},
		{model(`{"type":5}`), "model.type", ErrInvalid},
		{model(`{"type":"BPE"}`), "model.vocab", ErrInvalid},
		{model(`{"type":"BPE","vocab":{},"merges":[]}`), "model.vocab", ErrInvalid},
		{model(`{"type":"BPE","vocab":[1],"merges":[]}`), "model.vocab", ErrInvalid},
		{model(`{"type":"BPE","vocab":{"a":-1},"merges":[]}`), `model.vocab["a"]`, ErrInvalid},
		{model(`{"type":"BPE","vocab":{"a":1.5},"merges":[]}`), `model.vocab["a"]`, ErrInvalid},
		{model(`{"type":"BPE","vocab":{"a":1e3},"merges":[]}`), `model.vocab["a"]`, ErrInvalid},
		{model(`{"type":"BPE","vocab":{"a":"0"},"merges":[]}`), `model.vocab["a"]`, ErrInvalid},
		{model(`{"type":"BPE","vocab":{"a":99999999999999999999},"merges":[]}`), `model.vocab["a"]`, ErrInvalid},
		{model(`{"type":"BPE","vocab":{"a":100000},"merges":[]}`), "model.vocab", ErrLimit},
		{model(`{"type":"BPE","vocab":{"a":0,"b":0},"merges":[]}`), `model.vocab["b"]`, ErrInvalid},
		{model(`{"type":"BPE","vocab":{"a":0,"a":1},"merges":[]}`), "token 1", ErrInvalid},
		{model(`{"type":"BPE","vocab":{"\ud800":0},"merges":[]}`), "model.vocab", ErrInvalid},
		{model(`{"type":"BPE","vocab":{"` + strings.Repeat("a", maxPiece+1) + `":0},"merges":[]}`), "model.vocab", ErrLimit},
		{model(`{"type":"BPE","vocab":{"a":0}}`), "model.merges", ErrInvalid},
		{model(`{"type":"BPE","vocab":{"a":0},"merges":{}}`), "model.merges", ErrInvalid},
		{model(`{"type":"BPE","vocab":{"a":0},"merges":["a"]}`), "model.merges[0]", ErrInvalid},
		{model(`{"type":"BPE","vocab":{"a":0},"merges":["a a a"]}`), "model.merges[0]", ErrInvalid},
		{model(`{"type":"BPE","vocab":{"a":0},"merges":[["a"]]}`), "model.merges[0]", ErrInvalid},
		{model(`{"type":"BPE","vocab":{"a":0},"merges":[["a","a","a"]]}`), "model.merges[0]", ErrInvalid},
		{model(`{"type":"BPE","vocab":{"a":0},"merges":[7]}`), "model.merges[0]", ErrInvalid},
		{model(`{"type":"BPE","vocab":{"a":0,"aa":1},"merges":["a a","a b"]}`), "model.merges[1]", ErrInvalid},
		{model(`{"type":"BPE","vocab":{"a":0},"merges":["a a"]}`), "model.merges[0]", ErrInvalid},
		{model(`{"type":"BPE","vocab":{"a":0},"merges":[],"unk_token":"<unk>"}`), "model.unk_token", ErrInvalid},
		{model(`{"type":"BPE","vocab":{"a":0},"merges":[],"dropout":0.1}`), "model.dropout", ErrUnsupported},
		{model(`{"type":"BPE","vocab":{"a":0},"merges":[],"continuing_subword_prefix":"##"}`), "model.continuing_subword_prefix", ErrUnsupported},
		{model(`{"type":"BPE","vocab":{"a":0},"merges":[],"end_of_word_suffix":"</w>"}`), "model.end_of_word_suffix", ErrUnsupported},

		{strings.Replace(small, `"id":3`, `"id":-3`, 1), "added_tokens[0].id", ErrInvalid},
		{strings.Replace(small, `"id":3`, `"id":1`, 1), `added token "<s>"`, ErrInvalid},
		{strings.Replace(small, `"id":3`, `"id":4000000`, 1), `added token "<s>"`, ErrLimit},
		{strings.Replace(small, `"id":3`, `"id":"3"`, 1), "added_tokens[0].id", ErrInvalid},
		{strings.Replace(small, "<s>", strings.Repeat("s", maxAddedPiece+1), 1), "added token", ErrLimit},
		{strings.Replace(small, "[{", "["+strings.Repeat("{},", maxAdded)+"{", 1), "added_tokens", ErrLimit},
		{strings.Replace(small, `[{"id":3,"content":"<s>","special":true}]`, "{}", 1), "added_tokens", ErrInvalid},

		{section("normalizer", `{"type":"`+strings.Repeat("N", 10000)+`"}`), "normalizer.type", ErrUnsupported},
		{section("normalizer", `{"type":"BertNormalizer"}`), "normalizer.type", ErrUnsupported},
		{section("normalizer", `{"type":"Sequence","normalizers":[{"type":"NFC"},{"type":"Nmt"}]}`), "normalizer.normalizers[1].type", ErrUnsupported},
		{section("normalizer", `{"type":"Replace","pattern":{"Regex":"a"},"content":"b"}`), "normalizer.pattern", ErrUnsupported},
		{section("normalizer", `{"type":"Replace","pattern":{"String":""},"content":"b"}`), "normalizer.pattern", ErrInvalid},
		{section("normalizer", `{"type":"Replace","content":"b"}`), "normalizer.pattern", ErrInvalid},
		{section("normalizer", `{"type":"Replace","pattern":{"String":"a"},"content":"`+strings.Repeat("a", 30)+`"}`), "normalizer", ErrLimit},
		{section("normalizer", `{"type":"Prepend","prepend":"`+strings.Repeat("a", 100)+`"}`), "normalizer.prepend", ErrLimit},
		{section("normalizer", nested), "normalizer", ErrLimit},
		{section("normalizer", `{"type":"Sequence","normalizers":[`+strings.Repeat(`{"type":"NFC"},`, 100)+`{"type":"NFC"}]}`), "normalizer", ErrLimit},
		{section("normalizer", `"`+strings.Repeat("a", maxSection)+`"`), "normalizer", ErrLimit},
		{section("normalizer", `7`), "normalizer", ErrInvalid},

		{section("pre_tokenizer", `{"type":"Whitespace"}`), "pre_tokenizer.type", ErrUnsupported},
		{section("pre_tokenizer", `{"type":"Split","pattern":{"Regex":"("},"behavior":"Isolated"}`), "pre_tokenizer.pattern", ErrUnsupported},
		{section("pre_tokenizer", `{"type":"Split","pattern":{"Regex":"a"},"behavior":"Isolate"}`), "pre_tokenizer.behavior", ErrUnsupported},
		{section("pre_tokenizer", `{"type":"Split","pattern":{"Regex":"`+strings.Repeat("(", maxPattern+1)+`"},"behavior":"Isolated"}`), "pre_tokenizer.pattern", ErrLimit},
		{section("pre_tokenizer", `{"type":"Split","behavior":"Isolated"}`), "pre_tokenizer.pattern", ErrInvalid},
		{section("pre_tokenizer", `{"type":"Metaspace","replacement":"ab"}`), "pre_tokenizer.replacement", ErrInvalid},
		{section("pre_tokenizer", `{"type":"Metaspace","prepend_scheme":"last"}`), "pre_tokenizer.prepend_scheme", ErrUnsupported},
		{section("pre_tokenizer", `{"type":"Sequence","pretokenizers":[{"type":"ByteLevel"},{"type":"Digits"}]}`), "pre_tokenizer.pretokenizers[1].type", ErrUnsupported},
		{section("pre_tokenizer", `{"type":"Sequence","pretokenizers":[{"type":"Digits"},{"type":"Metaspace"}]}`), "pre_tokenizer.pretokenizers[1].type", ErrUnsupported},

		{section("post_processor", `{"type":"BertProcessing"}`), "post_processor.type", ErrUnsupported},
		{section("post_processor", `{"type":"TemplateProcessing","single":[]}`), "post_processor.single", ErrInvalid},
		{section("post_processor", `{"type":"TemplateProcessing","single":[{"Sequence":{"id":"B"}}]}`), "post_processor.single[0]", ErrUnsupported},
		{section("post_processor", `{"type":"TemplateProcessing","single":[{"Other":{"id":"B"}}]}`), "post_processor.single[0]", ErrUnsupported},
		{section("post_processor", `{"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"x"}}]}`), "post_processor.single[0]", ErrInvalid},
		{section("post_processor", `{"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"x"}},{"Sequence":{"id":"A"}}],"special_tokens":{"x":{"ids":[99]}}}`), "post_processor.single[0]", ErrInvalid},
		{section("post_processor", `{"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"x"}},{"Sequence":{"id":"A"}}],"special_tokens":{"x":{"ids":[`+strings.Repeat("3,", 100)+`3]}}}`), "post_processor.single", ErrLimit},

		{section("decoder", `{"type":"WordPiece"}`), "decoder.type", ErrUnsupported},
		{section("decoder", `{"type":"Strip","content":" ","start":1,"stop":0}`), "decoder", ErrUnsupported},
		{section("decoder", `{"type":"Sequence","decoders":[{"type":"Fuse"},{"type":"Strip","content":" ","start":0,"stop":1}]}`), "decoder.decoders[1]", ErrUnsupported},
		{section("decoder", `{"type":"Sequence","decoders":[{"type":"Fuse"},{"type":"ByteFallback"}]}`), "decoder.decoders[1].type", ErrUnsupported},
		{section("decoder", `{"type":"Sequence","decoders":[{"type":"ByteLevel"},{"type":"Fuse"}]}`), "decoder.decoders[1].type", ErrUnsupported},
		{section("decoder", `{"type":"Sequence","decoders":[{"type":"Fuse"},{"type":"ByteLevel"}]}`), "decoder.decoders[1].type", ErrUnsupported},
	} {
		_, err := Parse([]byte(c.file))
		name := c.file[:min(len(c.file), 400)]
		fe, ok := errors.AsType[*FormatError](err)
		if !ok {
			t.Errorf("%s: got %v, want a FormatError", name, err)
			continue
		}
		if !strings.HasPrefix(fe.Field, c.field) || !errors.Is(err, c.is) {
			t.Errorf("%s: got %v, want one about %s: %v", name, err, c.field, c.is)
		}
		if len(err.Error()) > 1000 {
			t.Errorf("%s: an error of %d bytes", name, len(err.Error()))
		}
	}
}

// TestParseForms: the same tokenizer, written in the ways that exist.
func TestParseForms(t *testing.T) {
	for _, file := range []string{
		small,
		strings.Replace(small, `"type":"BPE",`, "", 1),
		strings.Replace(small, `["a b"]`, `[["a","b"]]`, 1),
		strings.Replace(small, `["a b"]`, "[ [ \"\\u0061\" , \"b\" ]\n ] ", 1),
		strings.Replace(small, `{"a":0,"b":1,"ab":2}`, "{ \"ab\" : 2 ,\n\t\"\\u0062\":1, \"a\" :0 } ", 1),
		strings.Replace(small, `{"id":3,`, `{"id":9,"content":""},{"id":3,`, 1),
		strings.Replace(small, `{"id":3,`, `{"id":3,"content":"<s>","special":true},{"id":8,`, 1), // the first counts
	} {
		tok, err := Parse([]byte(file))
		if err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		if got := tok.Encode("<s>abba", EncodeOptions{ParseSpecial: true}); !slices.Equal(got, []int32{3, 2, 1, 0}) {
			t.Errorf("%s: ids %v", file, got)
		}
		if got := tok.Decode([]int32{2, 3, 0}, false); got != "ab <s> a" { // no decoder: the reference joins with spaces
			t.Errorf("%s: text %q", file, got)
		}
	}
}

func TestJSONEscapes(t *testing.T) {
	s := scanner{b: []byte(`"\"\\\/\b\f\n\r\tA\u00e9\u6c34\ud83d\ude00é" `)}
	got, err := s.str(nil)
	if want := "\"\\/\b\f\n\r\tAé水😀é"; err != nil || string(got) != want {
		t.Errorf("got %q, %v; want %q", got, err, want)
	}
	for _, bad := range []string{``, `"`, `"\`, `"\x"`, `"\u12"`, `"\u12g4"`, `"\ud800"`, `"\ud800\n"`, `"\ud800\u0041"`, `"\udc00"`, `a`} {
		s := scanner{b: []byte(bad)}
		if got, err := s.str(nil); err == nil {
			t.Errorf("%s: read as %q", bad, got)
		}
	}
}

// TestCost bounds what hostile texts and files cost. The limits are some ten times what an idle machine needs;
// anything quadratic would exceed them by orders of magnitude.
func TestCost(t *testing.T) {
	const mb = 1 << 20
	for _, c := range []struct{ name, text string }{
		{"bytelevel", strings.Repeat("a", mb)},
		{"bytelevel", strings.Repeat("water", mb/5)},
		{"bytelevel", strings.Repeat("\u0301", mb/2)},
		{"bytelevel", strings.Repeat("<|im_start|", mb/11)},
		{"bytelevel", strings.Repeat("<|im_start|>", mb/12)},
		{"bytelevel", strings.Repeat(" ", mb)},
		{"bytelevel", strings.Repeat("\xff", mb)},
		{"spm", strings.Repeat("a", mb)},
		{"spm", strings.Repeat("水", mb/3)},
		{"spm", strings.Repeat("😀", mb/4)},
		{"spm", strings.Repeat(" ", mb)},
		{"spm", strings.Repeat("▁a", mb/4)},
		{"flags", strings.Repeat(" ", mb/8) + "<pad>"},
		{"flags", strings.Repeat("  <pad>", mb/56)},
		{"metaspace", strings.Repeat("x", mb)},
	} {
		tok := fixture(t, c.name)
		start := time.Now()
		ids := tok.Encode(c.text, EncodeOptions{ParseSpecial: true})
		tok.Decode(ids, false)
		if d := time.Since(start); d > 5*time.Second {
			t.Errorf("%s: %q... took %v", c.name, c.text[:16], d)
		} else {
			t.Logf("%s: %.1f ms, %d ids of %q...", c.name, d.Seconds()*1e3, len(ids), c.text[:min(len(c.text), 16)])
		}
	}
}

// TestSpacesBeforeToken: white space that a token might swallow is not looked at again and again.
func TestSpacesBeforeToken(t *testing.T) {
	tok := fixture(t, "flags")
	text := strings.Repeat(" ", 1<<16) + "<pad>" + strings.Repeat(" ", 1<<16)
	ids := tok.Encode(text, EncodeOptions{ParseSpecial: true})
	if id, _ := tok.ID("<pad>"); len(ids) != 1 || ids[0] != id {
		t.Errorf("%d ids", len(ids))
	}
}

func BenchmarkParse(b *testing.B) {
	file := modeltest.SharedFile(b, "tokenizers", "llama3_1.json.xz")
	b.SetBytes(int64(len(file)))
	for b.Loop() {
		if _, err := Parse(file); err != nil {
			b.Fatal(err)
		}
	}
}
