package tokenizer

import (
	"testing"

	sugar "github.com/sugarme/tokenizer"
)

func TestSugarme(t *testing.T) {
	for _, name := range fixtures {
		t.Run(name, func(t *testing.T) {
			s := fixture(t, name).AsSugarme()
			for _, r := range fixtureRefs(t, name) {
				checkSugar(t, s, r.Text, r.IDs, true)
				checkSugar(t, s, r.Text, r.Bare, false)
				ids := make([]int, len(r.Bare))
				for i, id := range r.Bare {
					ids[i] = int(id)
				}
				if got := s.Decode(ids, false); got != r.Dec0 {
					t.Errorf("text of %v: got %q, want %q", ids, got, r.Dec0)
				}
			}
		})
	}
}

func checkSugar(t *testing.T, s *sugar.Tokenizer, text string, want []int32, special bool) {
	t.Helper()
	if text == "" {
		return // an error of the library, see AsSugarme
	}
	e, err := s.EncodeSingle(text, special)
	if err != nil {
		t.Errorf("%q: %v", text, err)
		return
	}
	got := e.GetIds()
	same := len(got) == len(want)
	for i := 0; same && i < len(got); i++ {
		same = got[i] == int(want[i])
	}
	if !same {
		t.Errorf("ids of %q\n got %v\nwant %v", text, got, want)
	}
	if e.Len() != len(want) || len(e.GetOffsets()) != len(want) {
		t.Errorf("%q: %d ids, %d offsets", text, e.Len(), len(e.GetOffsets()))
	}
}
