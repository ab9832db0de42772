package engine

import (
	"bytes"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// TestLogprobs: every token of an answer has its log-probability under the model's own distribution, whatever the
// sampling does with that, and its bytes, also where a character takes several tokens.
func TestLogprobs(t *testing.T) {
	b := &fakeBackend{}
	e := start(t, b, func(c *Config) { c.StepTokens = 16 })
	prompt := randomPrompt(rand.New(rand.NewPCG(8, 8)), 40)
	for _, p := range []Sampling{{}, {Temperature: 1, TopK: 50, RepeatPenalty: 2, Seed: 3}} {
		for _, top := range []int{0, 1, 20} {
			s := generate(t, e, t.Context(), Request{Prompt: prompt, MaxTokens: 30, Sampling: p, Logprobs: true, TopLogprobs: top})
			text, list := readLogprobs(t, s)
			if len(list) != 30 {
				t.Fatalf("%d entries for 30 tokens", len(list))
			}
			tokens, logits := slices.Clone(prompt), make([]float32, vocab)
			for i, got := range list {
				b.model(logits, len(tokens), func(q int) int32 { return tokens[q] })
				if want := logProb(logits, got.ID); math.Abs(got.Value-want) > 1e-5 || !bytes.Equal(got.Bytes, []byte{byte(got.ID)}) {
					t.Fatalf("token %d: %+v, want %v", i, got, want)
				}
				order := make([]int32, vocab)
				for id := range order {
					order[id] = int32(id)
				}
				slices.SortStableFunc(order, func(a, b int32) int { return int(math.Copysign(1, float64(logits[b]-logits[a]))) })
				if len(got.Top) != top {
					t.Fatalf("token %d: %d alternatives, want %d", i, len(got.Top), top)
				}
				for j, alt := range got.Top {
					if alt.ID != order[j] || math.Abs(alt.Value-logProb(logits, alt.ID)) > 1e-5 || alt.Top != nil {
						t.Fatalf("token %d, alternative %d: %+v, want id %d", i, j, alt, order[j])
					}
				}
				tokens = append(tokens, got.ID)
			}
			if want := decoded(tokens[len(prompt):]); text != want {
				t.Errorf("text %q of tokens that spell %q", text, want)
			}
		}
	}
}

// readLogprobs collects an answer with its log-probabilities and checks that they come with their tokens.
func readLogprobs(t *testing.T, s *Stream) (text string, list []Logprob) {
	t.Helper()
	for {
		d, err := s.Next()
		if err != nil {
			return text, list
		}
		if n := len(d.Logprobs); n != d.Tokens && !(n == d.Tokens-1 && d.Finish == FinishStop) {
			t.Errorf("%d entries for %d tokens", n, d.Tokens)
		}
		text += d.Text
		list = append(list, d.Logprobs...)
	}
}

// TestLogprobsHeld: entries come with their tokens although the text waits for a stop string or the rest of a
// character; the tokens of a stop string have entries, the end-of-text token has none.
func TestLogprobsHeld(t *testing.T) {
	b := &fakeBackend{scripts: [][]byte{[]byte("one € STO"), []byte("a STOP b")}, gate: make(chan struct{}, 100)}
	e := start(t, b, nil)
	s := generate(t, e, t.Context(), Request{Prompt: scripted(0), Stop: []string{"STOP"}, Logprobs: true})
	spelled := func(list []Logprob) (text string) {
		for _, p := range list {
			text += string(p.Bytes)
		}
		return text
	}
	for i, want := range []struct{ text, bytes string }{
		{"o", "o"}, {"n", "n"}, {"e", "e"}, {" ", " "}, {"", "\xe2"}, {"", "\x82"}, {"€", "\xac"}, {" ", " "}, {"", "S"}, {"", "T"}, {"", "O"},
	} {
		b.gate <- struct{}{}
		d, err := s.Next()
		if err != nil || d.Text != want.text || spelled(d.Logprobs) != want.bytes {
			t.Errorf("token %d: %+v, %v, want %q", i, d, err, want)
		}
	}
	b.gate <- struct{}{}
	if d, err := s.Next(); err != nil || d.Text != "STO" || d.Logprobs != nil || d.Finish != FinishStop {
		t.Errorf("at the end: %+v, %v", d, err)
	}
	for range 100 - len(b.gate) {
		b.gate <- struct{}{}
	}
	s = generate(t, e, t.Context(), Request{Prompt: scripted(1), Stop: []string{"STOP"}, Logprobs: true})
	if text, list := readLogprobs(t, s); text != "a " || spelled(list) != "a STOP" {
		t.Errorf("%q with entries for %q", text, spelled(list))
	}
}
