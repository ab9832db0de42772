package tokenizer

import (
	"strings"
	"testing"

	"aquifer/models/modeltest"
)

// prose is text as chats have it; 64 KiB of it mostly hits the word cache, as real use does.
func prose(n int) string {
	const text = "The water goes down once, and its drops come up once: 1999 metres of rock, if you'd believe it.\n\n" +
		"    for step in range(120):\n        well.append(step * 2)  # naïve café\n" +
		"Вода течёт вниз по склону. 水は下に流れる。 \"Quoted, isn't it?\" — 😀\n"
	return strings.Repeat(text, n/len(text)+1)[:n]
}

// noise has no repeated words, so that the cache does not help.
func noise(n int) string {
	var sb strings.Builder
	for x := uint32(1); sb.Len() < n; x = x*1664525 + 1013904223 {
		for k := x >> 20; k > 0; k /= 7 {
			sb.WriteByte(byte('a' + (k*x>>24)%26))
		}
		sb.WriteByte(" .\n "[x>>30])
	}
	return sb.String()[:n]
}

func BenchmarkEncode(b *testing.B) {
	run := func(name string, tok *Tokenizer) {
		for _, text := range []struct{ name, text string }{
			{"prose", prose(64 << 10)}, {"noise", noise(64 << 10)}, {"word", strings.Repeat("aquifer", 9362)},
		} {
			b.Run(name+"/"+text.name, func(b *testing.B) {
				b.SetBytes(int64(len(text.text)))
				b.ReportAllocs()
				for b.Loop() {
					tok.Encode(text.text, EncodeOptions{})
				}
			})
		}
	}
	for _, name := range fixtures {
		run(name, fixture(b, name))
	}
	for _, name := range []string{"llama2real", "llama3_1", "qwen3", "gemma3"} {
		tok, err := Parse(modeltest.SharedFile(b, "tokenizers", name+".json.xz"))
		if err != nil {
			b.Fatal(err)
		}
		run(name, tok)
	}
}

func BenchmarkDecoderPush(b *testing.B) {
	tok := fixture(b, "bytelevel")
	ids := tok.Encode(prose(4096), EncodeOptions{})
	d := tok.NewDecoder(true)
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		d.Push(ids[i%len(ids)])
		i++
	}
}

func BenchmarkFromMetadata(b *testing.B) {
	tok, err := Parse(smolLM2(b))
	if err != nil {
		b.Fatal(err)
	}
	m, err := tok.Metadata()
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := FromMetadata(m); err != nil {
			b.Fatal(err)
		}
	}
}
