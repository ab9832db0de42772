package tokenizer

import (
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"
)

// FuzzParse: no file makes Parse panic, and what it accepts works.
func FuzzParse(f *testing.F) {
	for _, name := range fixtures {
		f.Add(fixtureJSON(f, name), "The water <s> 水 123")
	}
	f.Add([]byte(small), "abba<s>")
	f.Add([]byte(`{"normalizer":{"type":"NFKD"},"pre_tokenizer":{"type":"Split","pattern":{"Regex":"\\s+(?!\\S)|(a|b)+"},"behavior":"MergedWithNext","invert":true},
		"model":{"type":"BPE","unk_token":"b","vocab":{"a":0,"b":1,"ab":2},"merges":[["a","b"]]}}`), "ab a\u0301")
	f.Fuzz(func(t *testing.T, file []byte, text string) {
		tok, err := Parse(file)
		if err != nil {
			return
		}
		exercise(t, tok, text)
	})
}

// exercise checks what must hold for every tokenizer.
func exercise(t *testing.T, tok *Tokenizer, text string) {
	t.Helper()
	ids := tok.Encode(text, EncodeOptions{AddSpecial: true, ParseSpecial: true})
	for _, id := range ids {
		if id < 0 || int(id) >= tok.Size() {
			t.Fatalf("id %d of %d", id, tok.Size())
		}
	}
	user := tok.Encode(text, EncodeOptions{})
	unk, _ := tok.Unknown()
	for _, id := range user {
		// Byte pieces and the unknown token stand for text whatever the file calls them.
		if _, isByte := pieceByte(tok.Piece(id)); tok.IsSpecial(id) && id != unk && !isByte {
			t.Fatalf("control token %q out of user text %q", tok.Piece(id), text)
		}
	}
	if segs := tok.EncodeSegments([]Segment{{Text: text}, {Trusted: true}, {Text: ""}}, false); !slices.Equal(segs, user) {
		t.Fatalf("segments of %q give %v, the text %v", text, segs, user)
	}
	d := tok.NewDecoder(false)
	var sb strings.Builder
	for _, id := range ids {
		sb.WriteString(d.Push(id))
	}
	sb.WriteString(d.Flush())
	if got := tok.Decode(ids, false); got != sb.String() || (utf8.ValidString(text) && !utf8.ValidString(got)) {
		t.Fatalf("ids %v: stream %q, whole %q", ids, sb.String(), got)
	}
	m, err := tok.Metadata()
	if err != nil {
		return
	}
	again, err := FromMetadata(m)
	if err != nil {
		t.Fatalf("FromMetadata refuses what Metadata gives: %v", err)
	}
	m2, err := again.Metadata()
	if err != nil || !reflect.DeepEqual(m, m2) {
		t.Fatalf("metadata changes on the way: %v\n%+v\n%+v", err, m, m2)
	}
}

// FuzzEncodeDecode: vocabularies that can spell every byte give a text back.
func FuzzEncodeDecode(f *testing.F) {
	m, err := fixture(f, "bytelevel").Metadata()
	if err != nil {
		f.Fatal(err)
	}
	var byteLevel []*Tokenizer
	for _, pre := range []string{"gpt-2", "smollm", "llama-bpe", "dbrx", "tekken", "gpt-4o", "default"} { // without normalization
		m.Pre = pre
		tok, err := FromMetadata(m)
		if err != nil {
			f.Fatal(err)
		}
		byteLevel = append(byteLevel, tok)
	}
	spm := fixture(f, "spm")
	for _, s := range []string{"", " ", "The water", "  <|im_start|>x", "水は\xff下", "a\u0301\r\n 's 123", "▁▁ ▁", "<tool><0x41>"} {
		f.Add(s, true)
	}
	f.Fuzz(func(t *testing.T, text string, special bool) {
		opt := EncodeOptions{ParseSpecial: special}
		for _, tok := range byteLevel {
			got, want := tok.Decode(tok.Encode(text, opt), false), string(appendLossy(nil, []byte(text)))
			if got != want {
				t.Fatalf("got %q, want %q", got, want)
			}
		}
		// A control token is followed by a space the text does not have, and a ▁ reads as a space.
		if utf8.ValidString(text) {
			got, want := spm.Decode(spm.Encode(text, EncodeOptions{}), false), strings.ReplaceAll(text, spaceMark, " ")
			if got != want {
				t.Fatalf("SentencePiece: got %q, want %q", got, want)
			}
		}
	})
}

// FuzzMetadata: no metadata makes FromMetadata panic, and what it accepts survives the way back.
func FuzzMetadata(f *testing.F) {
	f.Add("llama", "default", "<unk>\n<s>\n▁\na\nb\nab\n▁a\n▁ab\n<0x0A>", "2\n3\n1\n1\n1\n1\n1\n1\n6", "0\n0\n-5\n-6\n-7\n-1\n-2\n-2\n0", "", 1, 0, true, "ab ab\n<s>")
	f.Add("llama", "metaspace-first", "▁\na\n▁a", "1\n1\n1", "0\n0\n0", "▁ a", -1, -1, true, " a a")
	f.Add("gpt2", "smollm", "<s>\na\nb\nab\nĠ\nĠa\n[x]", "3\n1\n1\n1\n1\n1\n5", "", "a b\nĠ a", 0, -1, false, "ab a1 b")
	f.Add("gpt2", "tekken", "a\nB\n1\naB", "", "", "a B", -1, -1, false, "aB Ba 水B 12")
	f.Add("gpt2", "default", "a\n$\n1\n11", "", "", "1 1", -1, -1, false, "a$ 1111 a")
	f.Add("gpt2", "qwen2", "a\na", "", "", "", -1, -1, false, "a")
	f.Fuzz(func(t *testing.T, model, pre, tokens, types, scores, merges string, bos, unk int, flag bool, text string) {
		m := Metadata{
			Model: model, Pre: pre, Tokens: strings.Split(tokens, "\n"),
			BOS: int32(bos), EOS: -1, Unknown: int32(unk), Padding: -1, AddBOS: flag && bos >= 0, AddSpacePrefix: flag,
		}
		for _, s := range lines(types) {
			n, _ := strconv.Atoi(s)
			m.Types = append(m.Types, int32(n))
		}
		for _, s := range lines(scores) {
			x, _ := strconv.ParseFloat(s, 32)
			m.Scores = append(m.Scores, float32(x))
		}
		m.Merges = lines(merges)
		tok, err := FromMetadata(m)
		if err != nil {
			return
		}
		if _, err := tok.Metadata(); err != nil {
			t.Fatalf("Metadata refuses what FromMetadata took: %v", err)
		}
		exercise(t, tok, text)
	})
}

func lines(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(s, "\n")
}
