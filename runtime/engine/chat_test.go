package engine

import (
	"errors"
	"slices"
	"testing"

	"aquifer/runtime/chat"
)

// TestChat compares the answer with the one to the prompt that the template must give.
func TestChat(t *testing.T) {
	bytes := func(s string) (ids []int32) {
		for i := range len(s) {
			ids = append(ids, int32(s[i]))
		}
		return ids
	}
	const own = `{{ bos_token }}{% for m in messages %}{{ m.role }}: {{ m.content }}</s>{% endfor %}{% if add_generation_prompt %}assistant:{% endif %}`
	const none = `{% for m in messages %}{{ m.content }}{% endfor %}`
	messages := []Message{{Role: "user", Content: "hi</s>"}}
	framed := slices.Concat([]int32{bosID}, bytes("user: hi</s>"), []int32{eosID}, bytes("assistant:"))
	tests := []struct {
		name, template string
		bos            int32
		prompt         []int32
	}{
		// A control token in a message is text, in the template it is one token.
		{"template with BOS", own, bosID, framed},
		{"template with BOS, model without", own, -1, framed},
		{"template without BOS", none, bosID, append([]int32{bosID}, bytes("hi</s>")...)},
		{"neither", none, -1, bytes("hi</s>")},
	}
	for _, tt := range tests {
		b := &fakeBackend{}
		format, err := chat.New(chat.Source{Template: tt.template, Special: chat.Special{BOS: "<s>", EOS: "</s>"}})
		if err != nil {
			t.Fatal(err)
		}
		e := start(t, b, func(c *Config) { c.Chat = format })
		e.bos = tt.bos
		s, err := e.Chat(t.Context(), ChatRequest{Messages: messages, MaxTokens: 20})
		if err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		text, last, err := read(t, s)
		if want := decoded(b.greedy(tt.prompt, 20)); err != nil || text != want || last.Usage.Prompt != len(tt.prompt) {
			t.Errorf("%s: %q behind %d tokens, %v; want %q behind %d", tt.name, text, last.Usage.Prompt, err, want, len(tt.prompt))
		}
		var ce *ChatError
		if _, err := e.Chat(t.Context(), ChatRequest{Messages: []Message{{Role: "wizard"}}}); !errors.As(err, &ce) {
			t.Errorf("%s: an unknown role: %v", tt.name, err)
		}
		var pe *ParamError
		if _, err := e.Chat(t.Context(), ChatRequest{Messages: messages, MaxTokens: -1}); !errors.As(err, &pe) {
			t.Errorf("%s: max_tokens -1: %v", tt.name, err)
		}
	}
}
