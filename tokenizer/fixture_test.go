package tokenizer

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// fixtures are the tokenizers of testdata, see its README.
var fixtures = []string{"bytelevel", "spm", "flags", "metaspace"}

func fixtureJSON(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func fixture(t testing.TB, name string) *Tokenizer {
	t.Helper()
	tok, err := Parse(fixtureJSON(t, name))
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

type fixtureRef struct {
	Text, Dec, Dec0 string
	IDs, Bare, User []int32
}

func fixtureRefs(t testing.TB, name string) []fixtureRef {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name+".ref.json"))
	if err != nil {
		t.Fatal(err)
	}
	var refs []fixtureRef
	unmarshal(t, b, &refs)
	return refs
}

func TestFixtures(t *testing.T) {
	for _, name := range fixtures {
		t.Run(name, func(t *testing.T) { checkRefs(t, fixture(t, name), fixtureRefs(t, name)) })
	}
}

func TestSmolLM2(t *testing.T) {
	tok, err := Parse(smolLM2(t))
	if err != nil {
		t.Fatal(err)
	}
	refs := fixtureRefs(t, "smollm2")
	checkRefs(t, tok, refs)
	texts := make([]string, len(refs))
	for i, r := range refs {
		texts[i] = r.Text
	}
	if m := checkMetadata(t, tok, texts); m.Pre != "smollm" || m.AddBOS {
		t.Errorf("pre %q, add BOS %v", m.Pre, m.AddBOS)
	}
}

func checkRefs(t *testing.T, tok *Tokenizer, refs []fixtureRef) {
	t.Helper()
	for _, r := range refs {
		for _, c := range []struct {
			opt  EncodeOptions
			want []int32
		}{
			{EncodeOptions{AddSpecial: true, ParseSpecial: true}, r.IDs},
			{EncodeOptions{ParseSpecial: true}, r.Bare},
			{EncodeOptions{}, r.User},
		} {
			if got := tok.Encode(r.Text, c.opt); !slices.Equal(got, c.want) {
				t.Errorf("ids of %+q with %+v\n got %v\nwant %v", r.Text, c.opt, got, c.want)
			}
		}
		if got := tok.Decode(r.IDs, true); got != r.Dec {
			t.Errorf("text of %v\n got %+q\nwant %+q", r.IDs, got, r.Dec)
		}
		if got := tok.Decode(r.Bare, false); got != r.Dec0 {
			t.Errorf("text of %v, special tokens kept\n got %+q\nwant %+q", r.Bare, got, r.Dec0)
		}
	}
}
