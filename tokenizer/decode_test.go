package tokenizer

import (
	"math/rand/v2"
	"strings"
	"testing"
	"unicode/utf8"
)

// TestStream: whatever the ids, the parts a Decoder returns are whole characters and add up to Decode.
func TestStream(t *testing.T) {
	for _, name := range fixtures {
		t.Run(name, func(t *testing.T) {
			tok := fixture(t, name)
			rng := rand.New(rand.NewPCG(5, 6))
			var lists [][]int32
			for _, r := range fixtureRefs(t, name) {
				lists = append(lists, r.IDs, r.Bare)
			}
			for range 3000 {
				ids := make([]int32, rng.IntN(12))
				for i := range ids {
					ids[i] = int32(rng.IntN(tok.Size()+4) - 2) // some do not exist
				}
				lists = append(lists, ids)
			}
			for _, skip := range []bool{false, true} {
				d := tok.NewDecoder(skip) // Flush makes it ready for the next stream
				for _, ids := range lists {
					var sb strings.Builder
					for _, id := range ids {
						part := d.Push(id)
						if !utf8.ValidString(part) {
							t.Fatalf("%v: part %q", ids, part)
						}
						sb.WriteString(part)
					}
					sb.WriteString(d.Flush())
					if got, want := sb.String(), tok.Decode(ids, skip); got != want {
						t.Fatalf("%v: stream %q, whole %q", ids, got, want)
					}
				}
			}
		})
	}
}

// TestStreamPrompt: text is not held back longer than it must be.
func TestStreamPrompt(t *testing.T) {
	tok := fixture(t, "bytelevel")
	const text = "水 water👩 é"
	d := tok.NewDecoder(false)
	var fed []byte
	sent := ""
	for _, id := range tok.Encode(text, EncodeOptions{}) {
		fed = append(fed, tok.Bytes(id)...)
		sent += d.Push(id)
		if want := string(fed[:len(fed)-partialLen(fed)]); sent != want {
			t.Errorf("after %q: sent %q, want %q", fed, sent, want)
		}
	}
	if sent != text {
		t.Errorf("sent %q", sent)
	}
}

func TestStreamGarbage(t *testing.T) {
	tok := fixture(t, "bytelevel")
	ids := tok.Encode(strings.Repeat("The water goes down once. ", 20), EncodeOptions{})
	d := tok.NewDecoder(true)
	i := 0
	if n := testing.AllocsPerRun(1000, func() { d.Push(ids[i%len(ids)]); i++ }); n > 1 {
		t.Errorf("%v allocations a token", n)
	}
}

func TestLossy(t *testing.T) {
	// Expected values are Rust's String::from_utf8_lossy (the examples of Unicode 16, section 3.9, among them).
	for in, want := range map[string]string{
		"":                                       "",
		"ok é水😀":                                 "ok é水😀",
		"\xff":                                   "\ufffd",
		"\xe6\xb0":                               "\ufffd",
		"\xe6\xb0a":                              "\ufffda",
		"\xf0\x9f\x98":                           "\ufffd",
		"\xf0\x9f\x98\xf0\x9f\x98\x80":           "\ufffd😀",
		"\xed\xa0\x80":                           "\ufffd\ufffd\ufffd",
		"\xc0\xaf\xe0\x80\xbf\xf0\x81\x82\x41":   strings.Repeat("\ufffd", 8) + "A",
		"\xe1\x80\xe2\xf0\x91\x92\xf1\xbf\x41":   strings.Repeat("\ufffd", 4) + "A",
		"\xf4\x91\x92\x93\xff\x41\x80\xbf\x42":   strings.Repeat("\ufffd", 5) + "A\ufffd\ufffdB",
		"\xf1\x80\x80\xe1\x80\xc2\x62\x80\x63":   "\ufffd\ufffd\ufffdb\ufffdc",
		"\u00e9\xc3":                             "é\ufffd",
		"\xf5\x80":                               "\ufffd\ufffd",
		"\xe0\x9f\x80":                           "\ufffd\ufffd\ufffd",
		strings.Repeat("a", 100) + "\xe6" + "bc": strings.Repeat("a", 100) + "\ufffdbc",
	} {
		if got := string(appendLossy(nil, []byte(in))); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
		// Cut anywhere, a stream gives the same.
		for cut := range len(in) {
			var held, out []byte
			for _, part := range []string{in[:cut], in[cut:]} {
				held = append(held, part...)
				n := len(held) - partialLen(held)
				out = appendLossy(out, held[:n])
				held = append([]byte(nil), held[n:]...)
			}
			if got := string(appendLossy(out, held)); got != want {
				t.Errorf("%q cut at %d: got %q, want %q", in, cut, got, want)
			}
		}
	}
}

func TestDecodeUnknownID(t *testing.T) {
	tok := fixture(t, "spm")
	if got := tok.Decode([]int32{-1, 1 << 30, int32(tok.Size())}, false); got != "" {
		t.Errorf("got %q", got)
	}
	if tok.Piece(-1) != "" || tok.Bytes(1<<30) != nil || tok.Text(-1) != "" || tok.IsSpecial(-5) {
		t.Error("an id that does not exist has properties")
	}
}
